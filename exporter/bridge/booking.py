"""What a batch of alerts changes: worked out in memory over the newest incidents, then written in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter import episodes
from exporter.bridge import notices
from exporter.bridge.decided import Decided, audited, items, tallied
from exporter.bridge.terms import foretold
from exporter.policy import decide
from exporter.store import audit, backlog, counters, incidents
from exporter.store.incidents import Incident

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.alerts import Alert
    from exporter.bridge.terms import Terms
    from exporter.episodes import Episode
    from exporter.policy import Decision
    from exporter.store.counters import Increments
    from exporter.store.incidents import Head

ALERTS: Final = "watchbridge_alerts_total"
HELD: Final = "watchbridge_actions_held_total"


@dataclass(slots=True)
class Record:
    """An incident within a batch: as it was found (None: it is new) and as it becomes."""

    fingerprint: str
    episode: Episode
    found: Head | None = None
    alert: Alert | None = None
    receiver: str = ""
    deliveries: int = 0
    followed: bool = False
    decisions: tuple[Decision, ...] | None = None
    made: Incident | None = None

    @property
    def id(self) -> int:
        """The number that it is stored under; 0 before it is."""
        known = self.found or self.made
        return 0 if known is None else known.id

    @property
    def opened(self) -> bool:
        """Whether it opens in this batch."""
        return self.episode.opened_at is not None and (self.found is None or self.found.episode.opened_at is None)

    @property
    def closed(self) -> bool:
        """Whether it ends in this batch, having been known or opened before."""
        return self.episode.over and (self.found is None or not self.found.episode.over)


@dataclass(slots=True)
class Batch:
    """The incidents that a batch of alerts touches, newest last for each fingerprint."""

    terms: Terms
    now: float
    found: Mapping[str, Head]
    asked: Mapping[int, tuple[Decision, ...]] = field(default_factory=dict)
    """Decisions that were made before, by the `id` of the alert."""
    newest: dict[str, Record] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def take(self, alert: Alert, receiver: str) -> str:
        """Take one alert and return its outcome: accepted, duplicate, late or refused."""
        record = self.newest.get(alert.fingerprint)
        if record is None and (head := self.found.get(alert.fingerprint)) is not None:
            record = self._known(Record(alert.fingerprint, head.episode, head))
        step = episodes.told(None if record is None else record.episode, alert, self.now, self.terms.late_for)
        if step.fresh or record is None:
            if record is not None:
                record.followed = True
            record = self._known(Record(alert.fingerprint, step.episode))
        record.episode = step.episode
        record.alert, record.receiver = alert, receiver
        record.deliveries += 1
        return self._judged(record, alert, step.outcome)

    def _known(self, record: Record) -> Record:
        self.newest[record.fingerprint] = record
        self.records.append(record)
        return record

    def _judged(self, record: Record, alert: Alert, outcome: str) -> str:
        """Ask the rules of an incident that is open and that these rules were not asked about."""
        if record.episode.state != "open" or record.decisions is not None:
            return outcome
        if record.found is not None and not record.opened and record.found.rulebook == self.terms.rulebook.digest:
            return outcome
        known = self.asked.get(id(alert))
        record.decisions = decide(alert.labels, self.terms.rulebook) if known is None else known
        # Of an incident that was asked about before, the alert stays what it is: known.
        return "refused" if outcome == "accepted" and is_refused(record.decisions) else outcome


def is_refused(decisions: Sequence[Decision]) -> bool:
    """Return whether rules wanted something and nothing of it can be done."""
    verdicts = {one.verdict for one in decisions}
    return "refuse" in verdicts and not verdicts & {"enqueue", "hold", "observe"}


async def written(connection: AsyncConnection, batch: Batch) -> tuple[list[Decided], Increments]:
    """Write what a batch changes, in the caller's transaction; return what was decided, and what it counts."""
    await _stored(connection, batch)
    digest = batch.terms.rulebook.digest
    decided = [
        foretold(
            batch.terms, Decided(record.made or incident_of(record, digest), record.decisions, opened=record.opened)
        )
        for record in batch.records
        if record.decisions is not None
    ]
    made = {record.made.id for record in batch.records if record.made is not None}
    tally = await _led_to(connection, batch.terms, decided, batch.now, made)
    over = [(record, record.id) for record in batch.records if record.closed]
    tally += await _ended(connection, batch.terms, over, batch.now)
    late = sum(1 for record in batch.records if record.found is None and record.episode.state == "late")
    if late:
        tally[HELD, ("late",)] += late
    return decided, tally


async def _led_to(
    connection: AsyncConnection, terms: Terms, decided: Sequence[Decided], now: float, made: Collection[int] = ()
) -> Increments:
    """Write the items that decisions lead to, who is told, and the audit of both; `made` are incidents just made."""
    fresh = [item for one in decided for item in items(one, terms.notices, now)]
    if fresh:
        await backlog.enqueued(connection, fresh, now, made)
    if decided:
        await audit.added(connection, [audited(one, now) for one in decided])
    return tallied(decided)


async def _ended(
    connection: AsyncConnection, terms: Terms, over: Sequence[tuple[Record, int]], now: float
) -> Increments:
    """Cancel what has not begun for incidents that have ended, and tell who wants to know."""
    tally: Increments = Counter()
    opened = [(record, number) for record, number in over if record.episode.opened_at is not None]
    if not opened:
        return tally
    cancelled = await backlog.cancelled_by_resolve(connection, [number for _, number in opened], now)
    if cancelled:
        tally[HELD, ("resolved",)] += cancelled
    entries = [
        audit.Entry(now, _actor(record), "closed", "incident", number, _why_closed(record.episode))
        for record, number in opened
    ]
    await audit.added(connection, entries)
    if any(notice.on == "incident" for notice in terms.notices):
        known = {one.id: one for one in await incidents.of_ids(connection, [number for _, number in opened])}
        fresh = [
            item
            for record, number in opened
            if number in known
            for item in closing_items(terms, known[number], _why_closed(record.episode), now)
        ]
        if fresh:
            await backlog.enqueued(connection, fresh, now)
    return tally


def closing_items(terms: Terms, incident: Incident, why: str, now: float) -> list[backlog.NewItem]:
    """Return the items that tell of an incident's end."""
    from exporter.bridge.decided import notice_item  # noqa: PLC0415 - both modules make items

    told = notices.of(terms.notices, "incident", incident.id, "closed", f"{incident.alertname}: {why}", incident.labels)
    return [notice_item(one, incident, now) for one in told]


def _why_closed(episode: Episode) -> str:
    if episode.state == "silent":
        return "nothing was heard of it for longer than `incidents: {silent_after}`"
    return "its alert is resolved"


def _actor(record: Record) -> str:
    return "watchbridge" if record.episode.state == "silent" else "alertmanager"


async def _stored(connection: AsyncConnection, batch: Batch) -> None:
    """Write the incidents themselves; those that are new have their ids then."""
    behind = [record.found.id for record in batch.records if record.found is not None and record.followed]
    if behind:
        await incidents.beheaded(connection, behind)
    digest = batch.terms.rulebook.digest
    fresh: list[Incident] = []
    for record in batch.records:
        if record.found is not None:
            continue
        record.made = incident_of(record, digest)
        if record.followed:
            await incidents.passed_by(connection, record.made)
        else:
            fresh.append(record.made)
    if fresh:
        await incidents.opened(connection, fresh)
    await _updated(connection, batch, digest)


async def _updated(connection: AsyncConnection, batch: Batch, digest: str) -> None:
    """Write how the incidents stand that were there before; most were only heard of again."""
    seen: list[tuple[int, float, int]] = []
    changed: list[tuple[int, Episode, str, int]] = []
    for record in batch.records:
        if (head := record.found) is None:
            continue
        rules = head.rulebook if record.decisions is None else digest
        if rules == head.rulebook and _only_seen(head.episode, record.episode):
            seen.append((head.id, record.episode.seen_at, record.deliveries))
        else:
            changed.append((head.id, record.episode, rules, record.deliveries))
    # In the order of their ids, as every transaction does it.
    if seen:
        await incidents.seen(connection, sorted(seen))
    if changed:
        await incidents.changed(connection, sorted(changed, key=lambda one: one[0]))


def _only_seen(before: Episode, after: Episode) -> bool:
    return (before.state, before.starts_at, before.ended_at) == (after.state, after.starts_at, after.ended_at)


def incident_of(record: Record, digest: str) -> Incident:
    """Return the incident of a record as its last alert describes it."""
    alert: Any = record.alert
    rules = "" if record.decisions is None else digest
    return Incident(
        record.fingerprint,
        alert.labels,
        alert.annotations,
        record.episode,
        record.receiver,
        alert.generator_url,
        max(1, record.deliveries),
        rules,
        record.id,
    )


async def passed(connection: AsyncConnection, terms: Terms, now: float) -> tuple[list[Decided], Increments]:
    """Let time do its part, in the caller's transaction: late incidents open, with decisions, and silent ones close."""
    due = await incidents.due(connection, now, terms.late_for, terms.silent_after, lock=True)
    records: list[Record] = []
    decided: list[Decided] = []
    for one in due:
        later = episodes.passed(one.episode, now, terms.late_for, terms.silent_after)
        if later is None:
            continue
        head = incidents.Head(one.id, one.fingerprint, one.rulebook, one.episode)
        record = Record(one.fingerprint, later, head)
        if record.opened:
            record.decisions = decide(one.labels, terms.rulebook)
            decided.append(foretold(terms, Decided(one, record.decisions, opened=True)))
        records.append(record)
    if not records:
        return [], Counter()
    digest = terms.rulebook.digest
    changes = [
        (one.found.id, one.episode, digest if one.decisions is not None else one.found.rulebook, 0)
        for one in records
        if one.found is not None
    ]
    await incidents.changed(connection, sorted(changes, key=lambda one: one[0]))
    tally = await _led_to(connection, terms, decided, now)
    over = [(one, one.found.id) for one in records if one.found is not None and one.closed]
    return decided, tally + await _ended(connection, terms, over, now)


def counted(outcomes: Iterable[str]) -> Increments:
    """Return what outcomes of alerts count."""
    return Counter({(ALERTS, (outcome,)): count for outcome, count in Counter(outcomes).items()})


async def totalled(connection: AsyncConnection, scope: str, tally: Increments) -> None:
    """Add what was counted, last in the caller's transaction."""
    await counters.added(connection, scope, tally)
