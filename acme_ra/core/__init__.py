"""The nouns: identifiers, objects, status, problems, requests, decisions. No I/O happens here."""
