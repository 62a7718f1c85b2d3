"""What signs or forwards an Approval: one file a kind, listed in issuance/registry.py."""
