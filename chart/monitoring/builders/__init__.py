"""The dashboards as code: `python -m chart.monitoring.builders` writes chart/monitoring/dashboards/*.json."""
