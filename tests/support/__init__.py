"""What the tests that run real processes share: servers, DNS, ports, the oracle, and a small ACME client."""
