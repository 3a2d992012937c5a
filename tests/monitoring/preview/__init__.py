"""Pictures of the dashboards, drawn by a small page of our own from what Prometheus answers: a preview, not Grafana."""
