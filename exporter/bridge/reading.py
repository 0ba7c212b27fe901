"""What a scrape asks of the store: a store that does not answer must not keep all the other series waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Found = TypeVar("Found")

PATIENCE: Final = 2.0
"""Seconds that a scrape waits for one answer of the store: less than an operation of it may take."""


class Reading:
    """Asks one thing at a time once: who comes while an answer is late is told so at once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._late: dict[tuple[str, ...], asyncio.Future[Any]] = {}

    async def told(self, what: tuple[str, ...], ask: Callable[[], Awaitable[Found]]) -> Found:
        """Return what is told within `PATIENCE`; StoreError when it does not come. A late answer is thrown away."""
        late = self._late.get(what)
        if late is not None and not late.done():
            raise self._error()
        asking = asyncio.ensure_future(ask())
        asking.add_done_callback(_noticed)
        done, _ = await asyncio.wait({asking}, timeout=PATIENCE)
        if not done:
            # Not cancelled: unwinding would take as long again, and the deadline of the operation ends it.
            self._late[what] = asking
            raise self._error()
        return asking.result()

    def _error(self) -> StoreError:
        return StoreError(where=self._where, reason=f"it did not answer within {PATIENCE:g} s")


def _noticed(asking: asyncio.Future[Any]) -> None:
    """Take in how a question ended that nobody waits for any more: the loop would log it as never retrieved."""
    if not asking.cancelled():
        asking.exception()
