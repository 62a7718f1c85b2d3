"""Unmodified ACME clients against `acme-ra serve` as a process, over TLS, with real validation on loopback."""
