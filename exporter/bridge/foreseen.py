"""Exactly what would be run for a decision: what `replay` prints, and what observing leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from exporter import acting
from exporter.bridge.options import RESTARTS
from exporter.model import Item, Plan
from exporter.restarting.strategy import strategy_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config import Configuration
    from exporter.policy import Decision


class AlertFacts(Protocol):
    """What an alert and an incident both have."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""
        ...

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations."""
        ...

    @property
    def starts_at(self) -> float:
        """When it began, in seconds since 1970 by the sender's clock."""
        ...

    @property
    def generator_url(self) -> str:
        """Where it came from."""
        ...


def foreseen(
    configuration: Configuration, decision: Decision, alert: AlertFacts, incident: int | None
) -> Plan | str | None:
    """Return what would be run for an alert; a text says why it would fail, None that nothing would be run."""
    if decision.queue == RESTARTS and decision.verdict != "refuse":
        options = configuration.services.get(decision.service or "")
        strategy = None if options is None else strategy_of(decision.service or "", options)
        return None if strategy is None else strategy.plan()
    queue = configuration.queues.get(decision.queue)
    if queue is None or queue.action is None or decision.verdict == "refuse":
        return None
    item = Item(
        id=0,
        queue=decision.queue,
        key=decision.key,
        reason=alert.labels.get("alertname", ""),
        service=decision.service,
        incident=incident,
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        generator_url=alert.generator_url,
    )
    return acting.plan(queue.action.kind, queue.action.options, item)
