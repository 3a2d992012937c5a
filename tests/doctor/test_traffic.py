"""What the requests say: the development server, and forwarded hops that are not those configured."""

from __future__ import annotations

import urllib.error
import urllib.request

from tests.doctor.test_injection import said
from tests.doctor.test_report import SHOP
from tests.promises.readings import Page
from tests.servers import free_port
from ullage.doctor import Report


def ask(port: int, *addresses: str) -> bool:
    """Ask for a page by way of proxies; say whether it is answered."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": ", ".join(addresses)})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return bool(response.read())
    except urllib.error.URLError:
        return False


def test_development_server_behind_two_proxies(pod, wait_for):
    """Werkzeug's server fails, and hops that are fewer than configured are worth a look."""
    (pod.work / "shop.py").write_text(SHOP)
    port = free_port()
    command = (str(pod.python), "-m", "flask", "--app", "shop", "run", "--port", str(port))
    pod.start(*command, ULLAGE_ROLE="web", ULLAGE_PROXY_X_FOR="2")
    wait_for(lambda: ask(port, "10.0.0.1", "10.0.0.2"), 30, "the server")
    assert ask(port, "10.0.0.1")
    wait_for(lambda: Page.read(pod.segments).total("flask_requests_total") == 2, what="two requests")
    findings = Report(pod.environment()).findings
    assert said(findings, "requests", "fail") == [
        "role web: Werkzeug's development server answers requests; "
        "serve the application by Gunicorn, such as `gunicorn ullage.wsgi:app`"
    ]
    (line,) = said(findings, "requests", "warn")
    assert "role web: X-Forwarded-For hops of 2 requests: 1 fewer, 1 expected (ULLAGE_PROXY_X_FOR=2, or " in line
    assert line.endswith("; set the count to the proxies that are in front; docs/proxies.md has them by topology")
