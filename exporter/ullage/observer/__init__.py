"""The observer, one a release: queues from Redis, the connection budget, and Kubernetes Events on leaking pods."""
