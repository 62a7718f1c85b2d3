"""acme-ra: an ACME server (RFC 8555) that acts as a registration authority."""

__version__ = "0.1.0"
