"""What a look changes in the store: alarms, their items, the audit and the counts, in one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.labels import normalised
from exporter.process_alarms import deciding
from exporter.store import audit, counters, process_alarms
from exporter.store.audit import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import Mode
    from exporter.policy import Decision
    from exporter.process_alarms.deciding import Changes, Terms
    from exporter.process_alarms.process import Process
    from exporter.store.counters import Increments
    from exporter.store.process_alarms import Alarm

log: Final = logging.getLogger("exporter.process_alarms")

HELD: Final = "watchbridge_actions_held_total"
LOGGED: Final = 50
"""Sentences of one look that are logged one by one: a storm is told by its number."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a look led to: a sentence for the log, and whether nothing can be done about it."""

    sentence: str
    refused: bool = False


@dataclass(slots=True)
class Noted:
    """What a transaction changed. `enqueued` says whether an item was made that may be due."""

    told: list[Told] = field(default_factory=list)
    enqueued: bool = False


@dataclass(frozen=True, slots=True)
class Noting:
    """Writes what one look at a source found."""

    source: str
    terms: Terms
    mode: Mode
    scope: str

    async def write(self, connection: AsyncConnection, found: Changes, now: float) -> Noted:
        """Write changes in the caller's transaction."""
        noted = Noted()
        tally: Increments = Counter()
        await self._end(connection, list(found.ended.values()), now, noted, tally)
        fresh = [deciding.alarm_of(self.source, one, self.terms.service(one)) for one in found.fresh.values()]
        if fresh:
            await process_alarms.raised(connection, fresh, now)
        if found.fresh or found.again:
            before = {head: alarm.asked_at for head, (alarm, _) in found.again.items()}
            processes = found.fresh | {head: process for head, (_, process) in found.again.items()}
            # What another replica has asked for meanwhile is done.
            alarms = [
                (one, processes[one.head])
                for one in await process_alarms.locked(connection, processes)
                if one.asked_at == before.get(one.head)
            ]
            await self._ask(connection, alarms, now, noted, tally)
        if tally:
            await counters.added(connection, self.scope, tally)
        return noted

    async def cleared(self, connection: AsyncConnection, alarms: Sequence[Alarm], now: float) -> None:
        """Note in the caller's transaction that we ended alarms, after a restart that was verified."""
        ids, cancelled = await process_alarms.ended(connection, [one.id for one in alarms], "restart", now)
        why = "its service was restarted and verified"
        await audit.added(connection, [Entry(now, "watchbridge", "closed", "alarm", one, why) for one in ids])
        if cancelled:
            await counters.added(connection, self.scope, {(HELD, ("resolved",)): cancelled})

    async def _end(
        self, connection: AsyncConnection, alarms: Sequence[Alarm], now: float, noted: Noted, tally: Increments
    ) -> None:
        if not alarms:
            return
        ids, cancelled = await process_alarms.ended(connection, [one.id for one in alarms], "monitor", now)
        if cancelled:
            tally[HELD, ("resolved",)] += cancelled
        over = set(ids)
        for one in alarms:
            if one.id in over:
                number, name = normalised(one.process_id), normalised(one.process)
                noted.told.append(Told(f"process {number} ({name}) is no longer in alarm in {self.source!r}"))
        why = "the process is no longer in alarm"
        await audit.added(connection, [Entry(now, "watchbridge", "closed", "alarm", one, why) for one in sorted(over)])

    async def _ask(
        self,
        connection: AsyncConnection,
        alarms: Sequence[tuple[Alarm, Process]],
        now: float,
        noted: Noted,
        tally: Increments,
    ) -> None:
        decisions = {alarm.id: self._decided(process) for alarm, process in alarms}
        items = [
            deciding.item_of(self.source, process, made, now)
            for alarm, process in alarms
            if not isinstance(made := decisions[alarm.id], str)
        ]
        numbers = await process_alarms.enqueued(connection, items[::-1], now)  # of one key the first is kept
        entries: list[Entry] = []
        asked: list[tuple[int, str | None, int | None]] = []
        added: set[int] = set()
        for alarm, process in alarms:
            made = decisions[alarm.id]
            if isinstance(made, str):
                asked.append((alarm.id, self.terms.service(process), None))
                noted.told.append(Told(made, refused=True))
                entries.append(self._entry(alarm, process, "refused", made, now, {"word": "unknown_service"}))
                continue
            number, is_new = numbers[made.key]
            asked.append((alarm.id, made.service, number))
            said = made.sentence if is_new else f"item {number} waits for {made.service} already"
            noted.told.append(Told(self._about(process, said)))
            entries.append(self._entry(alarm, process, "raised", said, now, {"item": number}))
            if is_new and number not in added:
                added.add(number)
                noted.enqueued = True
                entries.append(self._added(number, made, process, now))
                if made.verdict in {"hold", "observe"}:
                    tally[HELD, ("mode",)] += 1
        await process_alarms.asked(connection, asked, now)
        await audit.added(connection, entries)

    def _decided(self, process: Process) -> Decision | str:
        """Return what an alarm means, or why it can mean nothing."""
        service = self.terms.service(process)
        if service is None:
            return deciding.refusal(self.source, process, self.terms)
        made = deciding.decision(service, self.terms, self.mode)
        return made.sentence if made.verdict == "refuse" else made

    def _about(self, process: Process, said: str) -> str:
        number, name = normalised(process.id), normalised(process.name)
        return f"process {number} ({name}) is in alarm in {self.source!r}: {said}"

    def _entry(
        self, alarm: Alarm, process: Process, verb: str, why: str, now: float, more: Mapping[str, object]
    ) -> Entry:
        details = {
            "source": self.source,
            "process_id": normalised(process.id),
            "process": normalised(process.name),
            "service": self.terms.service(process),
            **more,
        }
        return Entry(now, "watchbridge", verb, "alarm", alarm.id, why, details)

    def _added(self, number: int, made: Decision, process: Process, now: float) -> Entry:
        details = {"queue": made.queue, "key": made.key}
        return Entry(now, "watchbridge", "added", "item", number, self._about(process, made.sentence), details)


def logged(told: Sequence[Told], source: str) -> None:
    """Say in the log what a look led to."""
    # What is refused needs somebody: it comes first.
    for one in sorted(told, key=lambda one: not one.refused)[:LOGGED]:
        log.log(logging.WARNING if one.refused else logging.INFO, "%s", one.sentence)
    if len(told) > LOGGED:
        log.warning("more process alarms changed at once", extra={"fields": {"source": source, "alarms": len(told)}})
