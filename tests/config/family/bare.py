"""A kind without options."""
