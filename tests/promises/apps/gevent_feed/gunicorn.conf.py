"""Gunicorn's workers are greenlets, which it patches the standard library for."""

worker_class = "gevent"
worker_connections = 50


def post_fork(server, worker):
    """Let PyMySQL and SQLAlchemy wait as greenlets do; Gunicorn has patched by now."""
    from gevent import monkey

    server.log.info("patched: %s", monkey.is_module_patched("socket"))
