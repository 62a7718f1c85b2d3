"""The certification authority: signs what an Approval says, and nothing else (RFC 5280)."""
