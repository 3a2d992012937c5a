"""`make demo`: the reference application under Gunicorn, a worker and the sidecar, on servers of their own."""
