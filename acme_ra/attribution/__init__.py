"""Whose order is it? Sources that tell the workload behind a request; what they cannot tell stays unknown."""
