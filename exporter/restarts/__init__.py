"""How services are restarted: one module is one kind, and its name is the word of the configuration."""
