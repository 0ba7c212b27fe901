"""What became of the alerts of one delivery, and what is told of those that were not taken."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.store import audit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.alerts import Delivery

log: Final = logging.getLogger("exporter.bridge")

QUARANTINED_TOLD: Final = 20
"""Quarantined alerts of one batch that get an entry in the audit each."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the alerts of one delivery."""

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: int = 0
    refused: int = 0
    truncated: int = 0


def receipt(delivery: Delivery, outcomes: Sequence[str]) -> Receipt:
    """Return the receipt of a delivery by the outcomes of its alerts."""
    count = Counter(outcomes)
    return Receipt(
        count["accepted"],
        count["duplicate"],
        count["late"],
        len(delivery.quarantined),
        count["refused"],
        delivery.truncated,
    )


def truncated(receipts: Sequence[Receipt]) -> int:
    """Return how many alerts the senders left out."""
    return sum(one.truncated for one in receipts)


async def quarantine_noted(connection: AsyncConnection, deliveries: Sequence[Delivery], now: float) -> None:
    """Tell of quarantined alerts in the audit, in the caller's transaction, and in the log."""
    told = [
        audit.Entry(
            now,
            "alertmanager",
            "quarantined",
            "delivery",
            None,
            one.sentence,
            {"receiver": delivery.receiver, "position": one.position, "code": one.word},
        )
        for delivery in deliveries
        for one in delivery.quarantined
    ]
    if told:
        await audit.added(connection, told[:QUARANTINED_TOLD])
        for one in told[:QUARANTINED_TOLD]:
            log.warning("an alert was quarantined: %s", one.reason, extra={"fields": dict(one.details)})


def warn_truncated(deliveries: Sequence[Delivery]) -> None:
    """Say in the log where senders left alerts out."""
    for one in deliveries:
        if one.truncated:
            log.warning(
                "Alertmanager left alerts out of a delivery: raise `max_alerts` of its webhook",
                extra={"fields": {"receiver": one.receiver, "alerts": one.truncated}},
            )
