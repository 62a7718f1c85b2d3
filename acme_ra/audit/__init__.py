"""The audit log: what is recorded, and how it leaves the process."""
