"""From deliveries to rows: who delivers meanwhile is written in one transaction, and told once that is done."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.bridge import booking
from exporter.bridge.asking import asked
from exporter.bridge.decided import logged
from exporter.bridge.receipts import Receipt, quarantine_noted, receipt, truncated, warn_truncated
from exporter.errors import StoreError, WatchbridgeError
from exporter.store import counters, incidents
from exporter.store.engines import OPERATION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.alerts import Delivery
    from exporter.bridge.decided import Decided
    from exporter.bridge.terms import Terms
    from exporter.model import Clock
    from exporter.policy import Decision
    from exporter.store.counters import Increments
    from exporter.store.store import Store

log: Final = logging.getLogger("exporter.bridge")

WAITING: Final = 30_000
"""Alerts that may wait for their transaction; what comes beyond is asked to come again."""
BATCH: Final = 5_000
"""Alerts after which a transaction takes no further delivery: some tenths of a second of work."""
TROUBLED: Final = 60.0
"""Seconds for which one delivery that could not be stored speaks for the next: who is not ready gets none to try."""
TRIES: Final = 3
"""How often a batch is tried when another replica was quicker with the same alert."""
PER_SECOND: Final = 1_000
"""Alerts that the slowest store takes in a second: a large batch gets more time than other transactions."""
CLOSE_SECONDS: Final = 6.0
"""How long what waits may take to be written at the end: more than one transaction of a store that hangs."""
DELIVERIES: Final = "watchbridge_deliveries_total"
TRUNCATED: Final = "watchbridge_webhook_truncated_alerts_total"
LAST: Final = "watchbridge_deliveries_last_timestamp_seconds"


class OverloadedError(WatchbridgeError):
    """Too many alerts wait to be stored, or Watchbridge ends: send them again in a moment."""

    exit_code = 3


@dataclass(slots=True, eq=False)
class _Waiting:
    delivery: Delivery
    receipt: asyncio.Future[Receipt]


class Intake:
    """Takes deliveries; `terms` may be exchanged at any time, a batch under way ends with those that it began with."""

    def __init__(
        self, store: Store, clock: Clock, scope: str, terms: Terms, stored: Callable[[], None] | None = None
    ) -> None:
        """`scope` is under which name is counted; `stored` is called after each commit that may have made items."""
        self.terms = terms
        self._store = store
        self._clock = clock
        self._scope = scope
        self._stored = stored
        self._waiting: deque[_Waiting] = deque()
        self._alerts = 0
        self._arrived = asyncio.Event()
        self._answers: Increments = Counter()
        self._failed: tuple[float, str] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to write."""
        self._serving = asyncio.create_task(self._serve())

    async def take(self, delivery: Delivery) -> Receipt:
        """Store a delivery and return what became of it: it is then on disk.

        Raises OverloadedError where too many wait already or this process ends, StoreError where the store cannot
        take it; the sender sends it again then, and what was stored all the same is recognised.
        """
        size = _size(delivery)
        if self._closing or (self._alerts and self._alerts + size > WAITING):
            raise OverloadedError
        waiting = _Waiting(delivery, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._alerts += size
        self._arrived.set()
        return await waiting.receipt

    @property
    def trouble(self) -> str | None:
        """Why deliveries cannot be stored: the last one was not, and that is not long ago."""
        if self._failed is None or self._clock.monotonic() - self._failed[0] > TROUBLED:
            return None
        return self._failed[1]

    def answered(self, code: int) -> None:
        """Count an answer of the webhook; it is written with the next transaction."""
        self._answers[DELIVERIES, (str(code),)] += 1

    async def flush(self) -> None:
        """Write the answers that were counted since the last transaction. Raises StoreError; they are kept then."""
        if not self._answers:
            return
        answers = self._taken_answers()
        try:
            async with self._store.writing() as connection:
                await counters.added(connection, self._scope, answers)
        except BaseException:
            self._answers.update(answers)
            raise

    def _taken_answers(self) -> Increments:
        answers, self._answers = self._answers, Counter()
        return answers

    async def close(self) -> None:
        """Write what waits, then end; who is not written by then is told so."""
        self._closing = True
        self._arrived.set()
        if self._serving is not None:
            serving, self._serving = self._serving, None
            await asyncio.wait({serving}, timeout=CLOSE_SECONDS)
            serving.cancel()
            await asyncio.wait({serving})
        _tell_failed(self._waiting, OverloadedError())

    async def _serve(self) -> None:
        while not self._closing or self._waiting:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                batch = self._batch()
                await self._write(batch)
                self._alerts -= sum(_size(one.delivery) for one in batch)

    def _batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + _size(self._waiting[0].delivery) <= BATCH):
            batch.append(self._waiting.popleft())
            size += _size(batch[-1].delivery)
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Write a batch and tell each delivery of it how that went; never raises."""
        answers = self._taken_answers()
        try:
            receipts = await self._written([one.delivery for one in batch], answers)
        except Exception as error:  # noqa: BLE001 - each sender is told, and sends again
            self._answers.update(answers)
            if len(batch) > 1 and _is_content(error):
                # One delivery that cannot be written must not keep the others out for ever: it is found by halves.
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            self._failed = self._clock.monotonic(), str(error)
            _tell_failed(batch, error)
        except BaseException:
            self._answers.update(answers)
            _tell_failed(batch, OverloadedError())
            raise
        else:
            self._failed = None
            for one, receipt in zip(batch, receipts, strict=True):
                if not one.receipt.done():
                    one.receipt.set_result(receipt)

    async def _written(self, deliveries: Sequence[Delivery], answers: Increments) -> list[Receipt]:
        terms = self.terms
        decided_before = await asked(self._store, terms, deliveries)
        seconds = OPERATION_SECONDS + sum(map(_size, deliveries)) / PER_SECOND
        for left in reversed(range(TRIES)):
            try:
                async with self._store.writing(seconds=seconds) as connection:
                    receipts, decided = await self._booked(connection, terms, deliveries, answers, decided_before)
            except StoreError as error:
                if not left or not _is_race(error):
                    raise
            else:
                break
        # Re-sends make no items; who has `notify` may have one of a closing, too.
        if self._stored is not None and (decided or terms.notices):
            self._stored()
        logged(decided)
        warn_truncated(deliveries)
        return receipts

    async def _booked(
        self,
        connection: AsyncConnection,
        terms: Terms,
        deliveries: Sequence[Delivery],
        answers: Increments,
        decided_before: Mapping[int, tuple[Decision, ...]],
    ) -> tuple[list[Receipt], list[Decided]]:
        now = self._clock.time()
        fingerprints = {alert.fingerprint for delivery in deliveries for alert in delivery.alerts}
        found = await incidents.heads(connection, fingerprints) if fingerprints else {}
        batch = booking.Batch(terms, now, found, decided_before)
        outcomes = [[batch.take(alert, delivery.receiver) for alert in delivery.alerts] for delivery in deliveries]
        decided, tally = await booking.written(connection, batch)
        tally += booking.counted(outcome for each in outcomes for outcome in each)
        receipts = [receipt(delivery, each) for delivery, each in zip(deliveries, outcomes, strict=True)]
        await quarantine_noted(connection, deliveries, now)
        quarantined = sum(one.quarantined for one in receipts)
        tally += Counter({(booking.ALERTS, ("quarantined",)): quarantined, (TRUNCATED, ()): truncated(receipts)})
        await counters.put(connection, self._scope, {(LAST, ()): now})
        await counters.added(connection, self._scope, tally + answers)
        return receipts, decided


def _size(delivery: Delivery) -> int:
    return max(1, len(delivery.alerts) + len(delivery.quarantined))


def _is_content(error: Exception) -> bool:
    """Return whether what was to be written is at fault, and not the store."""
    if not isinstance(error, StoreError):
        return True
    # The driver of PostgreSQL has one class for all errors, and codes that begin with 22 for values it cannot take.
    state = str(getattr(getattr(error.__cause__, "orig", None), "sqlstate", ""))
    return state.startswith("22") or type(error.__cause__).__name__ in _OF_CONTENT


_OF_CONTENT: Final = frozenset({"DataError", "IntegrityError", "ProgrammingError", "StatementError"})


def _is_race(error: StoreError) -> bool:
    """Return whether another replica was quicker, so that trying again finds what it has written."""
    said = f"{type(error.__cause__).__name__} {error}".lower()
    return any(word in said for word in ("integrityerror", "deadlock", "unique", "duplicate", "serialize"))


def _tell_failed(batch: Iterable[_Waiting], error: Exception) -> None:
    if not isinstance(error, WatchbridgeError):
        log.error("a delivery could not be stored", exc_info=error)
        error = StoreError(where="", reason="something unforeseen happened; its log line has the place")
    for one in batch:
        if not one.receipt.done():
            one.receipt.set_exception(error)
            # A sender that has gone away does not ask: that is no error of ours.
            one.receipt.exception()
