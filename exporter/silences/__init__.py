"""Whether Alertmanager silences an alert: what it was asked last, and what that says of an alert's labels."""

from exporter.silences.silences import FRESH, MAX_AGE, Silences

__all__ = ["FRESH", "MAX_AGE", "Silences"]
