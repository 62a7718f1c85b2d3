"""PA: may this request have this certificate? Default deny; rules are pure; only the engine makes approvals."""
