"""One source of alarms while the server runs: when it is looked at, what was found, and whether that is known now."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from exporter.errors import DatabaseError, UnreachableError
from exporter.trouble import Trouble

if TYPE_CHECKING:
    from exporter.databases.database import Database
    from exporter.model import Clock
    from exporter.process_alarms.options import AlarmOptions
    from exporter.process_alarms.process import Process
    from exporter.process_alarms.tables import Tables

log: Final = logging.getLogger("exporter.process_alarms")

BEAT: Final = 1.0
"""Seconds in which one look serves all who ask."""
FAILED_AGAIN: Final = 10.0
"""Seconds after which a source that cannot be read is asked again by those who decide: each time they wait for it."""
READ_SECONDS: Final = 10.0
"""How long one look may take, with all that it waits for: whoever decides on a restart waits for it."""


class AlarmSource:
    """The tables of one source. What was found last stays while they cannot be read."""

    def __init__(self, name: str, options: AlarmOptions, database: Database, clock: Clock) -> None:
        self.name = name
        self.options = options
        self.database = database
        self.processes: tuple[Process, ...] = ()
        """Those in alarm, as they were found last."""
        self.is_known = False
        """Whether the last look found out which are."""
        self.is_noted = True
        """Whether the store knows what the last look found."""
        self.due_at = clock.monotonic()
        """When the next look is due, by the monotonic clock."""
        self._clock = clock
        self._tables: Tables | None = None
        self._looked_at: float | None = None
        self.turn = asyncio.Lock()
        """Held by whoever looks, writes down what was found, or clears: none of them may see half of another."""
        what = f"the process alarms of {name!r} cannot be read"
        self._trouble = Trouble(log, what, f"the process alarms of {name!r} can be read again")

    @property
    def failing(self) -> str | None:
        """Why the last look failed, in a sentence; None where it did not."""
        return self._trouble.reason

    def pace(self, now: float) -> bool:
        """Return whether a look is due, and let the next one be due a beat later; missed beats are left out."""
        if now < self.due_at:
            return False
        every = self.options.every
        self.due_at += every * (1 + (now - self.due_at) // every)
        return True

    async def look(self, since: float) -> None:
        """Find out which processes are in alarm, unless a look has begun after `since` (monotonic); never raises.

        Who comes while one looks waits for it, and takes what it finds where that is new enough.
        """
        async with self.turn:
            if self._looked_at is None or self._looked_at <= since:
                await self.look_now()

    async def look_now(self) -> None:
        """Do the same in any case; `turn` must be held."""
        self._looked_at = self._clock.monotonic()
        self.is_known = False
        with self._trouble.noted():
            self.processes = await self._read()
            self.is_known, self.is_noted = True, False

    def look_again(self, now: float) -> float:
        """Return how old a look may be (monotonic) for one that decides now: it waits for few that fail."""
        return now - (BEAT if self.failing is None else FAILED_AGAIN)

    async def _read(self) -> tuple[Process, ...]:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await (await self.tables()).in_alarm()
        except TimeoutError:
            reason = f"the database {self.database.name!r} did not answer within {READ_SECONDS:g} s: look at its load"
            raise UnreachableError(reason=reason) from None
        except DatabaseError:
            self.forget()
            raise

    def forget(self) -> None:
        """Look at the tables anew before the next read: they may have changed."""
        self._tables = None

    async def tables(self) -> Tables:
        """Return the tables, looked at the first time. Raises the DatabaseError family."""
        if self._tables is None:
            from exporter.process_alarms.tables import found  # noqa: PLC0415 - without a source there is no SQLAlchemy

            self._tables = await found(self.database, self.options)
        return self._tables

    def without(self, cleared: frozenset[str]) -> None:
        """Take note that the alarms of some processes, by their ids, were cleared since the last look."""
        self.processes = tuple(one for one in self.processes if one.id not in cleared)
