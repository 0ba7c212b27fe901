"""Alertmanager's webhook payload, version 4, read strictly and within bounds; bad alerts are told one by one."""

from __future__ import annotations

from exporter.alerts.alert import Alert, Delivery, PayloadError, Quarantined

__all__ = ["Alert", "Delivery", "PayloadError", "Quarantined", "parse"]


def parse(body: bytes, now: float) -> Delivery:
    """Return what a request delivers; PayloadError when the whole of it cannot be read.

    `now` (seconds since 1970) is what times are held against.
    """
    from exporter.alerts import payload  # noqa: PLC0415 - the skeleton stands before its parts

    return payload.read(body, now)
