"""Clearing alarms after a restart that helped: one bounded change of the tables, and what the store keeps of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.errors import UnreachableError, WatchbridgeError
from exporter.labels import normalised
from exporter.process_alarms.noting import Noting
from exporter.store import process_alarms, service_leases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.model import Clock
    from exporter.process_alarms.deciding import Terms
    from exporter.process_alarms.process import Process
    from exporter.process_alarms.source import AlarmSource
    from exporter.store.process_alarms import Alarm
    from exporter.store.store import Store

log: Final = logging.getLogger("exporter.process_alarms")

CLEAR_SECONDS: Final = 20.0
"""How long clearing the alarms of a service in one source may take."""
CLEARED: Final = 100
"""Processes of one service whose alarms are cleared in a source: more are hardly one service."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """Clears the alarms of a service in one source, whose turn is the caller's."""

    store: Store
    clock: Clock
    scope: str
    terms: Terms

    async def done(self, source: AlarmSource, service: str) -> list[str]:
        """Clear them; return a sentence for each failure. Never raises, but for a cancellation, and ends in time."""
        what = f"the alarm of {service!r} in {source.name!r} was not cleared"
        try:
            async with asyncio.timeout(CLEAR_SECONDS):
                return await self._cleared(source, service)
        except TimeoutError:
            return [f"{what}: that took longer than {CLEAR_SECONDS:g} s"]
        except WatchbridgeError as error:
            return [f"{what}: {error}"]
        except Exception as error:
            log.exception("an alarm was not cleared")
            return [f"{what} ({type(error).__name__}): its log line has the place"]

    async def _cleared(self, source: AlarmSource, service: str) -> list[str]:
        had = any(self.terms.service(one) == service for one in source.processes)
        await source.look_now()
        if not source.is_known and had:
            raise UnreachableError(reason=source.failing)
        if not source.is_known:
            return []
        mine = [one for one in source.processes if self.terms.service(one) == service][:CLEARED]
        heads = [process_alarms.head_of(source.name, one.id) for one in mine]
        known = await process_alarms.of_heads(self.store, heads) if heads else []
        failures: list[str] = []
        cleared: list[Process] = []
        tables = await source.tables()
        for process in mine:
            number = normalised(process.id)
            try:
                changed = await tables.clear(process)
            except WatchbridgeError as error:
                failures.append(f"the alarm of process {number} in {source.name!r} was not cleared: {error}")
                break  # the next one would fail alike, and take as long
            cleared.append(process)
            if changed:
                log.info("DB UPDATE LOG: Successfully updated alarm status for process_id: %s", number)
        if cleared:
            source.without(frozenset(one.id for one in cleared))
            await self._noted(source.name, known, cleared)
        return failures

    async def _noted(self, source: str, known: Sequence[Alarm], cleared: Sequence[Process]) -> None:
        heads = {process_alarms.head_of(source, one.id) for one in cleared}
        over = [one for one in known if one.head in heads]
        if over:
            # What cannot be written now, the next look finds ended.
            with contextlib.suppress(service_leases.DecisionsBusyError):
                async with service_leases.deciding(self.store) as (connection, _):
                    noting = Noting(source, self.terms, "auto", self.scope)
                    await noting.cleared(connection, over, self.clock.time())
