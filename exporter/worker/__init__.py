"""Works off the backlog: claim, gate, act, verify, record."""
