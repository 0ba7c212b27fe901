"""Watchbridge: a Prometheus exporter and alert bridge."""

__version__ = "0.1.0"
