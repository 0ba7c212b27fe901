"""What the worker writes: each claim, end and takeover with its counts and with who is told, in one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exporter import acting
from exporter.bridge import notices
from exporter.bridge.options import NOTIFICATIONS
from exporter.store import audit, backlog, backlog_claims, counters
from exporter.store.audit import Entry
from exporter.store.backlog import NewItem
from exporter.store.backlog_claims import Begin, KeepBack, Wish
from exporter.worker import gate
from exporter.worker.durations import HELD, increments
from exporter.worker.queues import worked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.bridge.notices import Notice, Told
    from exporter.config import Configuration
    from exporter.model import Clock, Mode
    from exporter.services.maintenance import Maintenance
    from exporter.store.backlog_claims import Claimed, Finish, Held, Holder
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.queues import Queue

log: Final = logging.getLogger("exporter.worker")

ACTIONS_OF_NOBODY: Final = "none"
"""The kind of a run for which the configuration has no action any more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a configuration says of working: the queues, how far it may go, who is told, and what is in maintenance."""

    queues: Mapping[str, Queue]
    mode: Mode
    notices: tuple[Notice, ...]
    groups: Mapping[str, str | None]
    maintenance: Maintenance
    rules: Mapping[str, Mode] = field(default_factory=dict)

    @classmethod
    def of(cls, configuration: Configuration, maintenance: Maintenance) -> Terms:
        """Return the terms of a configuration that was checked."""
        mode: Any = configuration.mode or "observe"
        groups = {name: service.group for name, service in configuration.services.items()}
        rules: dict[str, Mode] = {rule.identity: rule.mode or "auto" for rule in configuration.rules}
        return cls(worked(configuration), mode, notices.notices(configuration), groups, maintenance, rules)

    @property
    def modes(self) -> Mapping[tuple[str, str], Mode]:
        """Return what goes less far than auto: by its noun and name."""
        found: dict[tuple[str, str], Mode] = {("all", ""): self.mode}
        found |= {("queue", name): queue.mode for name, queue in self.queues.items()}
        found |= {("rule", name): mode for name, mode in self.rules.items()}
        found |= {("notify", one.identity): one.mode for one in self.notices}
        return {which: mode for which, mode in found.items() if mode != "auto"}


class Recorded(NamedTuple):
    """How a run ended, to be written: `kind` of the action, `seconds` that it took (None: its end was not seen).

    `counted` says whether it counts as a run that ended now: that of a takeover was counted when it was taken.
    """

    finish: Finish
    kind: str
    seconds: float | None
    counted: bool = True


@dataclass(slots=True)
class Books:
    """Writes what one worker does; `by_hand` says that a person runs it, whatever the mode is."""

    store: Store
    clock: Clock
    holder: Holder
    scope: str
    terms: Terms
    by_hand: bool = False
    actor: str = field(default="")

    def __post_init__(self) -> None:
        """Name who decides in the audit."""
        self.actor = self.actor or f"worker:{self.holder.replica}"

    async def claim(self, wish: Wish) -> Claimed:
        """Claim what may be run of a queue, and write why the rest may not."""
        queue, now = self.terms.queues[wish.queue], self.clock.time()

        plans: dict[int, str] = {}

        def decide(item: BacklogItem, incident: str | None) -> Begin | KeepBack:
            decision = self._decided(queue, item, incident, now)
            if isinstance(decision, Begin):
                plans[item.id] = decision.plan
            return decision

        async with self.store.writing() as connection:
            found = await backlog_claims.claimed(connection, self.store, self.holder, wish, decide)
            news = [one for one in found.held if one.is_news]
            waiting = [one.before for one in found.held if _waits_for_release(one)]
            await self._tell(connection, waiting, "held", gate.UNRELEASED, now)
            await audit.added(connection, [self._entry(one, now) for one in news])
            reasons = Counter(one.why.hold for one in news)
            await counters.added(
                connection, self.scope, {(HELD, (hold,)): float(count) for hold, count in reasons.items()}
            )
        for item in found.begun:
            log.info("runs: %s", plans[item.id], extra={"fields": fields(item)})
        for one in news:
            log.info("held back: %s", one.why.sentence, extra={"fields": fields(one.before) | {"hold": one.why.hold}})
        return found

    def _decided(self, queue: Queue, item: BacklogItem, incident: str | None, now: float) -> Begin | KeepBack:
        verdict = gate.judged(self._facts(queue, item, incident, now))
        if isinstance(verdict, gate.Held):
            return KeepBack(verdict.hold, verdict.sentence, verdict.look_again_at)
        deed = queue.deed(item)
        if deed is None:
            return Begin(ACTIONS_OF_NOBODY, "nothing: its entry of `notify` is gone")
        plan = acting.plan(deed.kind, deed.options, item.item)
        return Begin(deed.kind, plan if isinstance(plan, str) else plan.sentence)

    def _facts(self, queue: Queue, item: BacklogItem, incident: str | None, now: float) -> gate.Facts:
        terms = self.terms
        if queue.name == NOTIFICATIONS:
            # To tell somebody is no deed: neither the mode nor maintenance is in its way, nor that it is over.
            identity = item.context.get("notify")
            known = [one.mode for one in terms.notices if one.identity == identity]
            return gate.Facts(now, tuple(known), released=True, by_hand=self.by_hand)
        group = terms.groups.get(item.service) if item.service is not None else None
        return gate.Facts(
            now,
            (terms.mode, queue.mode, item.mode, terms.rules.get(item.rule or "", "auto")),
            released=item.origin != "rule" or item.approved_by is not None,
            by_hand=self.by_hand,
            incident=incident if item.origin == "rule" else None,
            window=terms.maintenance.reason(item.service, group, now),
        )

    async def record(self, ends: Sequence[Recorded]) -> set[int]:
        """Write how runs ended; return which items were still ours. What somebody else took over stays as it is."""
        now = self.clock.time()
        async with self.store.writing() as connection:
            ours = await backlog_claims.finished(connection, self.holder.owner, [one.finish for one in ends])
            kept = [one for one in ends if one.finish.item.id in ours]
            tally: Counter[Any] = Counter()
            for one in kept:
                if one.counted and one.finish.run is not None:
                    labels = (one.finish.item.queue, one.kind, one.finish.run.outcome)
                    tally.update(dict(increments(labels, one.seconds)))
            for one in kept:
                if one.finish.state == "dead":
                    item, why = one.finish.item, one.finish.explanation
                    await self._tell(connection, [item], "dead", why, now)
                    await audit.added(connection, [Entry(now, self.actor, "dead", "item", item.id, why)])
            await counters.added(connection, self.scope, tally)
        for one in ends:
            _log_end(one, is_ours=one.finish.item.id in ours)
        return ours

    async def _tell(
        self, connection: AsyncConnection, items: Iterable[BacklogItem], event: str, why: str, now: float
    ) -> None:
        """Store what `notify` tells of items, but of what is itself to tell somebody."""
        told = [
            _notice(one, item, now)
            for item in items
            if item.queue != NOTIFICATIONS
            for one in notices.of(
                self.terms.notices, "backlog", item.id, event, f"{item.queue} {item.key}: {why}", item.item.labels
            )
        ]
        if told:
            await backlog.enqueued(connection, told, now)

    def _entry(self, held: Held, now: float) -> Entry:
        verb = "cancelled" if held.why.look_again_at is None else "held"
        return Entry(now, self.actor, verb, "item", held.before.id, held.why.sentence, {"hold": held.why.hold})

    async def take_over(
        self, queues: Collection[str] | None, running: Collection[int], *, at_once: bool = False
    ) -> list[tuple[BacklogItem, str]]:
        """Take over items whose lease has ended, each with the kind of the action whose end nobody saw."""
        now = self.clock.time()
        async with self.store.writing() as connection:
            items, runs = await backlog_claims.overdue(
                connection, self.store, self.holder, queues=queues, running=running, at_once=at_once
            )
            kinds = {run.item_id: run.kind for run in runs}
            queue_of = {item.id: item.queue for item in items}
            tally: Counter[Any] = Counter()
            for run in runs:
                tally.update(dict(increments((queue_of[run.item_id], run.kind, "interrupted"), None)))
            entries = [Entry(now, self.actor, "taken-over", "item", one.id, "its lease ended") for one in items]
            await audit.added(connection, entries)
            await counters.added(connection, self.scope, tally)
        for item in items:
            log.warning("taken over: the end of its run was not seen", extra={"fields": fields(item)})
        return [(item, kinds.get(item.id, ACTIONS_OF_NOBODY)) for item in items]

    async def renew(self, items: Collection[BacklogItem]) -> set[int]:
        """Let leases last anew; return which items are still ours."""
        async with self.store.writing() as connection:
            return await backlog_claims.renewed(connection, self.store, self.holder, items)

    async def release(self, items: Collection[BacklogItem]) -> None:
        """Give items back of which nothing has begun."""
        async with self.store.writing() as connection:
            await backlog_claims.released(connection, self.holder.owner, items)

    async def release_strays(self, running: Collection[int]) -> None:
        """Give back what we claimed without being told so: nothing of it has begun."""
        async with self.store.writing() as connection:
            await backlog_claims.strays(connection, self.holder.owner, running)


def fields(item: BacklogItem) -> dict[str, Any]:
    """Return what a log line tells of an item beside its sentence."""
    return {"queue": item.queue, "item": item.id, "key": item.key, "attempt": item.attempts}


def _waits_for_release(held: Held) -> bool:
    """Return whether an item begins to wait for a person; the intake may have stored it so, and nobody was told yet."""
    is_first_look = held.before.due_at == held.before.created_at
    return held.why.sentence == gate.UNRELEASED and (held.is_news or is_first_look)


def _notice(told: Told, item: BacklogItem, now: float) -> NewItem:
    """Return the item that tells somebody of an item.

    It refers to the incident in its context only: to refer to the row would lock that in the wrong order.
    """
    ready = told.mode == "auto"
    context = {**item.context, "notify": told.identity, "incident": item.incident_id, "item": item.id}
    return NewItem(
        queue=told.queue,
        key=told.key,
        reason=told.reason,
        origin="notify",
        state="pending" if ready else "cancelled",
        mode=told.mode,
        due_at=now,
        context=context,
        service=item.service,
        hold=None if ready else "mode",
        explanation=None if ready else "only observed: this notification does more than tell, and `mode` is not auto",
    )


def _log_end(one: Recorded, *, is_ours: bool) -> None:
    item, state = one.finish.item, one.finish.state
    outcome = one.finish.run.outcome if one.finish.run is not None else "interrupted"
    more = fields(item) | {"state": state, "outcome": outcome}
    if one.seconds is not None:
        more["seconds"] = round(one.seconds, 3)
    if not is_ours:
        log.warning("the item was taken over meanwhile: how its run ended here changes nothing", extra={"fields": more})
        return
    level = logging.INFO if state == "done" else logging.WARNING
    log.log(level, "%s: %s", state, one.finish.explanation, extra={"fields": more})
