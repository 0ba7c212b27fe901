"""Kinds of probes: one module each, a small function over frozen options; the word of the configuration is its name."""
