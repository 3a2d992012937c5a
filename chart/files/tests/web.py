"""Ask web for a page through its Service: python web.py HOST PORT PATH HOST_HEADER SECONDS."""

import http.client
import sys
import time


def problem_of(host, port, path, host_header):
    """Return what is wrong with the answer, or nothing."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host_header or f"{host}:{port}"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
    return "" if status < 400 else f"status {status}"


def main(host, port, path, host_header, seconds):
    deadline = time.monotonic() + float(seconds)
    while problem := problem_of(host, int(port), path, host_header):
        if time.monotonic() > deadline:
            sys.exit(
                f"failed: http://{host}:{port}{path}: {problem}. See the web pods' logs and readiness, "
                "or set tests.path to a page that needs no login"
            )
        time.sleep(1)
    print(f"ok: http://{host}:{port}{path} answers")


main(*sys.argv[1:])
