"""Alertmanager's webhook payload, version 4, read strictly and within bounds; bad alerts are told one by one."""

from __future__ import annotations

from exporter.alerts import payload
from exporter.alerts.alert import REFUSALS, WORDS, Alert, Delivery, PayloadError, Quarantined

__all__ = ["REFUSALS", "WORDS", "Alert", "Delivery", "PayloadError", "Quarantined", "parse"]


def parse(body: bytes, now: float) -> Delivery:
    """Return what a request delivers; PayloadError when the whole of it cannot be read.

    `now` (seconds since 1970) is what times are held against.
    """
    return payload.read(body, now)
