"""The validation authority (VA): proves control of identifiers and looks up CAA (RFC 8555 §8, RFC 8659)."""
