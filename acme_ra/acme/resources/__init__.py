"""One thin module per resource of RFC 8555 §7.1: reads the payload, asks registration, renders the answer."""
