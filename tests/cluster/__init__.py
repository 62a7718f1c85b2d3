"""Kubernetes API servers and cert-manager, both real, against acme-ra as a process (`make test-cluster`)."""
