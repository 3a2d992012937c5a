"""/whoami, with and without proxies in front."""

from __future__ import annotations

from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import Config
from app.web import create_app

NO_SERVERS = Config(database_url="mysql+pymysql://shop@127.0.0.1:1/shop", redis_url="redis://127.0.0.1:1/0")
FORWARDED = {
    "X-Forwarded-For": "203.0.113.66, 203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
    "X-Forwarded-Prefix": "/shop",
}


def test_it_believes_the_proxies_that_it_is_told_of():
    """Behind ProxyFix the caller, the scheme, the host and the prefix are what the last proxy said."""
    app = create_app(NO_SERVERS)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)
    assert app.test_client().get("/whoami", headers=FORWARDED).json == {
        "remote_address": "203.0.113.7",
        "scheme": "https",
        "host": "shop.example",
        "prefix": "/shop",
        "url_root": "https://shop.example/shop/",
    }


def test_it_believes_nobody_without_proxies():
    """Without ProxyFix, X-Forwarded-* changes nothing, and no database or Redis is needed."""
    client = create_app(NO_SERVERS).test_client()
    assert client.get("/whoami", headers=FORWARDED).json == {
        "remote_address": "127.0.0.1",
        "scheme": "http",
        "host": "localhost",
        "prefix": "",
        "url_root": "http://localhost/",
    }
