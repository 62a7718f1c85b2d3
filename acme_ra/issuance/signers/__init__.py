"""What holds an issuing key: one file a kind."""
