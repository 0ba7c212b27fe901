"""Processes in alarm, as the tables of a process monitor tell of them."""
