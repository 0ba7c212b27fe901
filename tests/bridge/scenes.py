"""Alerts, rules and an intake over a real store, and what is in the store afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from servers.lives import Faulty
from servers.watched import NOON, FakeClock
from sqlalchemy import select

from exporter.alerts import Alert, Delivery
from exporter.bridge.booking import ALERTS
from exporter.bridge.intake import Intake, Receipt
from exporter.bridge.keeper import Keeper
from exporter.bridge.terms import Terms
from exporter.matchers import compiled
from exporter.policy import Rule, Rulebook, Step
from exporter.store import backlog, counters, incidents
from exporter.store.bridge_tables import backlog_items
from exporter.store.bridge_tables import incidents as incidents_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from exporter.bridge.notices import Notice
    from exporter.model import Mode
    from exporter.store.backlog import BacklogItem
    from exporter.store.incidents import Incident
    from exporter.store.store import Store

ENQUEUE = Step("enqueue", "sync", "{user}", acts=True)


def firing(user: str = "ada", starts_at: float = NOON, fingerprint: str | None = None, **labels: str) -> Alert:
    """Return an alert that fires; its user is what tells it from another."""
    told = {"alertname": "SyncFailed", "user": user, **labels}
    return Alert(fingerprint or f"of-{user}", "firing", told, {"summary": f"the sync of {user} failed"}, starts_at)


def resolved(user: str = "ada", ends_at: float | None = None, starts_at: float = NOON, **labels: str) -> Alert:
    """Return the end of an alert."""
    one = firing(user, starts_at, **labels)
    return Alert(one.fingerprint, "resolved", one.labels, one.annotations, starts_at, ends_at)


def delivery(*alerts: Alert, receiver: str = "bridge", group_key: str = "{}", **more: Any) -> Delivery:
    """Return a delivery of alerts."""
    return Delivery(receiver, group_key, alerts, **more)


def rule(*steps: Step, matchers: str = 'alertname="SyncFailed"', **changes: Any) -> Rule:
    """Return a rule; without steps it enqueues the user in `sync`, which has an action."""
    values: dict[str, Any] = {"id": "rule-1"} | changes
    return Rule(matchers=compiled([matchers]), steps=steps or (ENQUEUE,), **values)


def terms(*rules: Rule, mode: Mode = "auto", notices: tuple[Notice, ...] = (), **changes: Any) -> Terms:
    """Return terms with rules; without any there is the one of `rule()`."""
    return Terms(Rulebook(rules or (rule(),), frozenset({"web", "db"}), mode), notices, **changes)


@dataclass
class Scene:
    """An intake and a keeper over a store that fails as planned, on a clock that the test turns."""

    store: Any
    clock: FakeClock
    intake: Intake
    keeper: Keeper
    scope: str
    wakes: int = 0

    async def take(self, *deliveries: Delivery) -> list[Receipt]:
        """Let senders deliver at once, in this order; return what each was told. Errors are raised."""
        return list(await asyncio.gather(*(self.intake.take(one) for one in deliveries)))

    async def one(self, *alerts: Alert) -> Receipt:
        """Deliver alerts in one delivery."""
        return await self.intake.take(delivery(*alerts))

    async def incidents(self) -> list[Incident]:
        """Return all incidents, the oldest first."""
        return (await incidents.listed(self.store, limit=100_000))[::-1]

    async def states(self) -> list[str]:
        """Return the states of all incidents, the oldest first."""
        return [one.episode.state for one in await self.incidents()]

    async def items(self) -> list[BacklogItem]:
        """Return all items, the oldest first."""
        return await backlog.listed(self.store, limit=100_000)

    async def outcomes(self) -> dict[str, int]:
        """Return how many alerts were counted by their outcomes."""
        found = await counters.totals(self.store, self.scope, [ALERTS])
        return {labels[0]: int(value) for labels, value in found[ALERTS].items()}

    async def total(self, family: str, *labels: str) -> float:
        """Return one total."""
        return (await counters.totals(self.store, self.scope, [family]))[family].get(labels, 0.0)


_scopes = itertools.count()


@contextlib.asynccontextmanager
async def scene(store: Store, told: Terms | None = None, *, clock: FakeClock | None = None) -> AsyncIterator[Scene]:
    """Give a running intake over a store, with a keeper that the test ticks."""
    clock = clock or FakeClock()
    scope = f"replica-{next(_scopes)}"
    faulty: Any = Faulty(store)

    def woken() -> None:
        one.wakes += 1

    intake = Intake(faulty, clock, scope, told or terms(), woken)
    one = Scene(faulty, clock, intake, Keeper(faulty, clock, scope, intake, woken), scope)
    intake.start()
    try:
        yield one
    finally:
        await intake.close()


def counted(receipts: Iterable[Receipt]) -> Counter[str]:
    """Return the sums of receipts by outcome."""
    found: Counter[str] = Counter()
    for one in receipts:
        found += Counter(
            accepted=one.accepted,
            duplicate=one.duplicates,
            late=one.late,
            quarantined=one.quarantined,
            refused=one.refused,
        )
    return found


async def led_to(store: Any, fingerprints: Sequence[str]) -> dict[str, list[int]]:
    """Return for fingerprints how many items each of their incidents that opened led to, the oldest first."""
    row = incidents_table.c
    query = (
        select(row.fingerprint, row.id, backlog_items.c.id)
        .select_from(incidents_table.outerjoin(backlog_items, backlog_items.c.incident_id == row.id))
        .where(row.fingerprint.in_(fingerprints), row.opened_at.is_not(None))
        .order_by(row.id)
    )
    counts: dict[str, dict[int, int]] = {one: {} for one in fingerprints}
    async with store.reading() as connection:
        for fingerprint, number, item in await connection.execute(query):
            of = counts[fingerprint]
            of[number] = of.get(number, 0) + (item is not None)
    return {one: list(of.values()) for one, of in counts.items()}
