"""A line on a terminal that says how far something long is."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

Result = TypeVar("Result")

AFTER: Final = 2.0
"""Seconds that pass in silence: what is done by then needs no line."""
EVERY: Final = 0.2
"""Seconds between two looks of the line."""


class ProgressLine:
    """Rewrites one line on standard error, where that is a terminal, and takes it away at the end."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._due = now() + AFTER
        self._width = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self.clear()

    def hook(self) -> Callable[[str, int, int | None], None] | None:
        """Return what is to be told (doing what, done, of how many or None); None where nobody would see it."""
        return self._tell if sys.stderr.isatty() else None

    async def during(self, doing: str, work: Awaitable[Result]) -> Result:
        """Return what some work of unknown length gives, and show for how many seconds it has been under way."""
        if not sys.stderr.isatty():
            return await work
        ticking = asyncio.create_task(self._tick(doing, self._now()))
        try:
            return await work
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    def clear(self) -> None:
        """Make room for a line that stays."""
        if self._width:
            self._write("")

    async def _tick(self, doing: str, began: float) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self._show(f"{doing}: {self._now() - began:.0f} s")

    def _tell(self, doing: str, done: int, total: int | None) -> None:
        share = f" of {total} rows ({done / total:.0%})" if total else " rows"
        self._show(f"{doing}: {done}{share}")

    def _show(self, line: str) -> None:
        now = self._now()
        if now >= self._due:
            self._due = now + EVERY
            self._write(line)

    def _write(self, line: str) -> None:
        """Write over the line that is there."""
        sys.stderr.write(f"\r{line.ljust(self._width)}" + ("" if line else "\r"))
        sys.stderr.flush()
        self._width = len(line)
