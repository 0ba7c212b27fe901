"""Families of collectors: one module is one kind, named by the word of the configuration."""
