"""What the worker writes: each claim, end and takeover with its counts and with who is told, in one transaction."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exporter import acting
from exporter.bridge import notices
from exporter.bridge.options import NOTIFICATIONS, RESTARTS
from exporter.store import audit, backlog, backlog_claims, counters, restart_facts, service_leases
from exporter.store.audit import Entry
from exporter.store.backlog import NewItem
from exporter.store.backlog_claims import Begin, KeepBack, Wish
from exporter.store.restart_facts import CAUSED
from exporter.worker import gate
from exporter.worker.durations import HELD, increments
from exporter.worker.lease_books import ACTIONS_OF_NOBODY, LeaseBooks, fields
from exporter.worker.restart_books import RestartBooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.bridge.notices import Told
    from exporter.model import Clock
    from exporter.restarting.surroundings import Surroundings
    from exporter.store.backlog_claims import Claimed, Finish, Held, Holder
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.queues import Queue
    from exporter.worker.restart_books import Decisions, Ended, Happened
    from exporter.worker.terms import Terms

log: Final = logging.getLogger("exporter.worker")

_LEVELS: Final = {"opened": logging.WARNING, "closed": logging.INFO}


class Recorded(NamedTuple):
    """How a run ended, to be written: `kind` of the action, `seconds` that it took (None: its end was not seen).

    `counted` says whether it counts as a run that ended now: that of a takeover was counted when it was taken.
    `restart` is what it was of a restart.
    """

    finish: Finish
    kind: str
    seconds: float | None
    counted: bool = True
    restart: Ended | None = None


@dataclass(slots=True)
class Books:
    """Writes what one worker does; `by_hand` says that a person runs it, whatever the mode is."""

    store: Store
    clock: Clock
    holder: Holder
    scope: str
    terms: Terms
    around: Surroundings
    by_hand: bool = False
    actor: str = field(default="")
    restarts: RestartBooks = field(init=False)
    leases: LeaseBooks = field(init=False)

    def __post_init__(self) -> None:
        """Name who decides in the audit."""
        self.actor = self.actor or f"worker:{self.holder.replica}"
        self.restarts = RestartBooks(self.store, self.holder, self.terms.restartable, self.around)
        self.leases = LeaseBooks(self.store, self.clock, self.holder, self.scope, self.actor, self.restarts)

    async def claim(self, wish: Wish) -> Claimed:
        """Claim what may be run of a queue, and write why the rest may not."""
        queue, now = self.terms.queues[wish.queue], self.clock.time()

        plans: dict[int, str] = {}
        decisions: Decisions | None = None

        def decide(item: BacklogItem, incident: str | None) -> Begin | KeepBack:
            decision = self._decided(queue, item, self._facts(queue, item, incident, now), decisions)
            if isinstance(decision, Begin):
                plans[item.id] = decision.plan
            return decision

        async with self._transaction(of_restarts=queue.name == RESTARTS) as (connection, at):
            if queue.name == RESTARTS:
                decisions = await self.restarts.begin(connection, (now, at))
            found = await backlog_claims.claimed(connection, self.store, self.holder, wish, decide)
            if decisions is not None:
                await self.restarts.begun(connection, found.begun, decisions)
                found.fences.update(decisions.fences)
                found.hung.update(decisions.hung)
            news = await self._kept_back(connection, found.held, now)
        for item in found.begun:
            how = "runs" if item.queue != RESTARTS else "is to be restarted"
            log.info("%s: %s", how, plans[item.id], extra={"fields": fields(item)})
        for one in news:
            how = "held back" if one.why.hold is not None else "needs no run"
            hold = {} if one.why.hold is None else {"hold": one.why.hold}
            log.info("%s: %s", how, one.why.sentence, extra={"fields": fields(one.before) | hold})
        return found

    async def _kept_back(self, connection: AsyncConnection, held: Sequence[Held], now: float) -> list[Held]:
        """Write why items are kept back; return those of which that is news."""
        news = [one for one in held if one.is_news]
        waiting = [one.before for one in held if _waits_for_release(one)]
        await self._tell(connection, waiting, "held", gate.UNRELEASED, now)
        await audit.added(connection, [self._entry(one, now) for one in news])
        reasons = Counter(one.why.hold for one in news if one.why.hold is not None)
        await counters.added(connection, self.scope, {(HELD, (hold,)): float(count) for hold, count in reasons.items()})
        return news

    def _decided(
        self, queue: Queue, item: BacklogItem, facts: gate.Facts, decisions: Decisions | None
    ) -> Begin | KeepBack:
        deed = queue.deed(item)
        strategy = self.terms.restartable.strategies.get(item.service or "")
        if decisions is not None and strategy is not None:
            verdict = self.restarts.decided(item, facts, strategy, decisions)
        else:
            verdict = gate.judged(facts)
        if isinstance(verdict, gate.Held):
            return KeepBack(verdict.hold, verdict.sentence, verdict.look_again_at)
        if deed is None:
            return Begin(ACTIONS_OF_NOBODY, "nothing: it is gone from the configuration")
        if decisions is not None and strategy is not None:
            plan = strategy.plan()
        else:
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
            released=item.origin not in CAUSED or item.approved_by is not None,
            # A person who wants a restart says so by the command, whatever the mode is.
            by_hand=self.by_hand or (queue.name == RESTARTS and item.origin not in CAUSED),
            incident=incident if item.origin == "rule" else None,
            window=terms.maintenance.reason(item.service, group, now),
            silence=self._silence(item),
        )

    def _silence(self, item: BacklogItem) -> str | None:
        """Return why the alert that led to an item is silenced; what a person wants, no silence is in the way of."""
        silences = self.around.silences
        return None if silences is None or item.origin != "rule" else silences.reason(item.item.labels)

    @contextlib.asynccontextmanager
    async def _transaction(self, *, of_restarts: bool) -> AsyncIterator[tuple[AsyncConnection, float]]:
        """Give a transaction and the time; one of restarts has the decisions locked, and their clock."""
        if of_restarts:
            async with service_leases.deciding(self.store) as (connection, at):
                yield connection, at
        else:
            async with self.store.writing() as connection:
                yield connection, self.clock.time()

    async def record(self, ends: Sequence[Recorded]) -> set[int]:
        """Write how runs ended; return which items were still ours. What somebody else took over stays as it is.

        Give those of restarts apart: they wait for who decides on restarts, and DecisionsBusyError leaves them.
        """
        now = self.clock.time()
        happened: list[Happened] = []
        of_restarts = any(one.finish.item.queue == RESTARTS for one in ends)
        async with self._transaction(of_restarts=of_restarts) as (connection, at):
            ours = await backlog_claims.finished(connection, self.holder.owner, [one.finish for one in ends])
            kept = [one for one in ends if one.finish.item.id in ours]
            if of_restarts:
                happened = await self._restarts_ended(connection, kept, at, now)
            for finish in (one.finish for one in kept if one.finish.state == "dead"):
                await self._tell(connection, [finish.item], "dead", finish.explanation, now)
                entry = Entry(now, self.actor, "dead", "item", finish.item.id, finish.explanation)
                await audit.added(connection, [entry])
            await counters.added(connection, self.scope, _tally(kept))
        for one in ends:
            _log_end(one, is_ours=one.finish.item.id in ours)
        for event in happened:
            if event.on == "circuit":
                log.log(_LEVELS[event.event], event.sentence, extra={"fields": fields(event.item)})
        return ours

    async def _restarts_ended(
        self, connection: AsyncConnection, ends: Sequence[Recorded], at: float, now: float
    ) -> list[Happened]:
        """Write what the ends of restarts mean; `at` is by the clock of the leases."""
        mine = [one for one in ends if one.finish.item.queue == RESTARTS]
        happened = await self.restarts.ended(connection, [one.restart for one in mine if one.restart is not None], at)
        gone = [(one.finish.item.id, one.finish.explanation) for one in mine if one.restart is None]
        await self.restarts.unjudged(connection, dict(gone), at)
        opened = {event.item.id for event in happened if event.event == "opened"}
        await restart_facts.made_due(connection, RESTARTS, now, opened)
        told = [
            _notice(notice, event.item, now)
            for event in happened
            for notice in notices.of(
                self.terms.notices, event.on, event.item.id, event.event, event.sentence, event.item.item.labels
            )
        ]
        if told:
            await backlog.enqueued(connection, told, now)
        entries = [
            Entry(
                now, self.actor, event.event, event.on, event.item.id, event.sentence, {"service": event.item.service}
            )
            for event in happened
        ]
        await audit.added(connection, entries)
        return happened

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
        verb = held.why.state
        return Entry(now, self.actor, verb, "item", held.before.id, held.why.sentence, {"hold": held.why.hold})


def _tally(ends: Iterable[Recorded]) -> Counter[Any]:
    """Return what ends of runs add to the totals."""
    tally: Counter[Any] = Counter()
    for one in ends:
        if one.counted and one.finish.run is not None:
            labels = (one.finish.item.queue, one.kind, one.finish.run.outcome)
            tally.update(dict(increments(labels, one.seconds)))
    return tally


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
    level = logging.INFO if state in {"done", "pending"} else logging.WARNING
    log.log(level, "%s: %s", state, one.finish.explanation, extra={"fields": more})
