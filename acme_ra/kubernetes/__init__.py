"""Kubernetes clusters: how to reach their API servers, read them live, and watch what changes. Nothing ACME in it."""
