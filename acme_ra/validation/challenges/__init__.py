"""One module per challenge type; registry.py lists them."""
