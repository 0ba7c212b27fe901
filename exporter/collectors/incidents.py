"""Alerts as they were received, and the incidents that they are part of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.episodes import STATES
from exporter.model import Family, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.model import Parts

ALERTS: Final = Family(
    "watchbridge_alerts_total",
    "counter",
    "Alerts received by what they were: accepted, duplicate, late (held, or of an episode that is over), quarantined "
    "(malformed) or refused (a rule matches, and what it needs is not configured).",
    ("outcome",),
)
DELIVERIES: Final = Family(
    "watchbridge_deliveries_total", "counter", "Requests to the webhook by the status of the answer.", ("code",)
)
LAST: Final = Family(
    "watchbridge_deliveries_last_timestamp_seconds", "gauge", "When alerts were last received and stored."
)
TRUNCATED: Final = Family(
    "watchbridge_webhook_truncated_alerts_total",
    "counter",
    "Alerts that Alertmanager left out of its deliveries because of `max_alerts`.",
)
INCIDENTS: Final = Family(
    "watchbridge_incidents",
    "gauge",
    "Incidents by state: open, late (held for some minutes), and those remembered that ended resolved or silent.",
    ("state",),
)
FAMILIES: Final = (ALERTS, DELIVERIES, LAST, TRUNCATED, INCIDENTS)

OUTCOMES: Final = ("accepted", "duplicate", "late", "quarantined", "refused")
CODES: Final = ("200", "400", "401", "408", "413", "415", "503")


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: the store."""
    bridge = parts.bridge

    async def read() -> Samples:
        totals = await bridge.totals([family.name for family in (ALERTS, DELIVERIES, LAST, TRUNCATED)])
        states = await bridge.incident_counts()
        return {
            ALERTS: dict.fromkeys(((word,) for word in OUTCOMES), 0.0) | totals[ALERTS.name],
            DELIVERIES: dict.fromkeys(((code,) for code in CODES), 0.0) | totals[DELIVERIES.name],
            LAST: totals[LAST.name],
            TRUNCATED: {(): 0.0} | totals[TRUNCATED.name],
            INCIDENTS: {(state,): float(states.get(state, 0)) for state in STATES},
        }

    if bridge is not None:
        yield Source("incidents", "store", read)
