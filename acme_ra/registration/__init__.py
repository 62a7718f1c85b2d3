"""RA: the state machine, and the only orchestrator: attribution, policy, validation, issuance, in this order."""
