"""The protocol's edge (RFC 8555): JWS, nonces, resources, problem documents. Decides nothing; asks registration."""
