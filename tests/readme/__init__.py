"""README.md, run."""
