"""`helm uninstall` leaves what NOTES.txt names, and an upgrade or rollback deletes nothing that it should not."""

from __future__ import annotations

from tests.chart import helm
from tests.chart.helm import name


def test_nothing_is_kept(objects):
    """No object asks Helm to leave it behind."""
    for each in objects:
        assert "helm.sh/resource-policy" not in each["metadata"].get("annotations", {}), name(each)


def test_only_the_tests_are_hooks(objects):
    """Helm forgets hooks at uninstall: the pods of `helm test` are the only ones, and each run replaces the last."""
    for each in objects:
        annotations = each["metadata"].get("annotations", {})
        is_test = each["kind"] == "Pod"
        assert (annotations.get("helm.sh/hook") == "test") == is_test, name(each)
        if is_test:
            assert "before-hook-creation" in annotations["helm.sh/hook-delete-policy"], name(each)


def test_the_migration_is_no_hook(objects):
    """As a hook it would wait for a database of the release, or, after the install, for pods that wait for it."""
    for job in objects.of("Job"):
        assert "helm.sh/hook" not in job["metadata"].get("annotations", {})
        assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_each_revision_has_its_own_migration(case):
    """A Job cannot be changed: each revision brings one of another name, or the values name it."""
    names = [{each["metadata"]["name"] for each in helm.render(case, revision=number).of("Job")} for number in (1, 2)]
    assert names[0] != names[1] or case.get("migrations")


def test_the_notes_name_what_stays():
    """NOTES.txt says what `helm uninstall` leaves."""
    for case in helm.cases():
        notes = helm.notes(helm.case(case))
        assert "`helm uninstall` leaves" in notes
        assert ("helm test" in notes) == bool(helm.render(helm.case(case)).of("Pod"))
