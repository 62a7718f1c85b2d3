"""Attribution by the cluster: the Order of cert-manager that carries our order's URL (docs/attribution.md)."""
