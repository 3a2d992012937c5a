"""What needs a cluster: the chart installed, upgraded, broken and removed. Reads KUBECONFIG and ULLAGE_E2E_IMAGE."""
