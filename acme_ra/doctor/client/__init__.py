"""An issuer in a cluster, looked at with the rights of whoever asks: a platform engineer, from a laptop."""
