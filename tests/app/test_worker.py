"""The worker command, as a process of its own."""

from __future__ import annotations

import os

HEADER = "order,customer,sku,quantity,unit_price\n"


def test_runs_the_queue_it_is_given(client, config, run_module):
    """The command works on the named queue of the configured Redis, with RQ's own options, in forked work horses."""
    url = client.post("/imports", data=HEADER + "a,Ada,TEA,1,1\n", content_type="text/csv").json["url"]
    done = run_module("app.worker", "--burst", config.queue_name)
    assert done.returncode == 0, done.stderr
    assert client.get(url).json["status"] == "finished"


def test_a_job_leak_ends_with_its_work_horse(client, config, queue, run_module):
    """A leaking job succeeds as far as RQ can see: only metrics will tell."""
    client.post("/faults/jobs/leak")
    (job,) = queue.jobs
    assert run_module("app.worker", "--burst", config.queue_name).returncode == 0
    assert job.is_finished


def test_a_crash_ends_its_work_horse_only(client, config, queue, run_module):
    """A crashing job is killed and fails; the worker lives and finishes the next job."""
    client.post("/faults/jobs/crash")
    client.post("/faults/jobs/hang?seconds=0.01")
    crash, hang = queue.jobs
    assert run_module("app.worker", "--burst", config.queue_name).returncode == 0
    assert crash.is_failed
    assert "signal 9" in crash.latest_result().exc_string
    assert hang.is_finished


def test_faults_need_the_setting_in_the_worker_too(client, config, queue, run_module):
    """A fault job is refused by a worker whose own environment does not enable faults."""
    client.post("/faults/jobs/crash")
    (job,) = queue.jobs
    done = run_module("app.worker", "--burst", config.queue_name, APP_FAULTS="0")
    assert job.is_failed
    assert "set APP_FAULTS=1" in done.stderr + done.stdout


def test_a_bad_setting_is_one_line(run_module):
    """A bad setting ends the worker with status 2 and one line."""
    done = run_module("app.worker", DB_POOL_SIZE="0")
    assert (done.returncode, done.stderr) == (2, "app.worker: DB_POOL_SIZE='0': want an integer from 1 to 1000\n")


def test_is_measured_where_ullage_is(config, run_module, tmp_path):
    """Where the ullage package is present the worker's process leaves a segment."""
    done = run_module("app.worker", "--burst", config.queue_name, ULLAGE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.seg"))


def test_starts_without_ullage(config, run_module, tmp_path):
    """Where the ullage package is absent the worker runs all the same."""
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text(
        "import importlib.util as util, importlib.abc, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'ullage' else find(name, package)\n"
        "sys.modules['ullage'] = None\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = run_module("app.worker", "--burst", config.queue_name, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
