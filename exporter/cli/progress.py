"""A line on a terminal that says how far something long is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

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
        if self._width:
            self._write("")

    def hook(self) -> Callable[[str, int, int | None], None] | None:
        """Return what is to be told (doing what, done, of how many or None); None where nobody would see it."""
        return self._tell if sys.stderr.isatty() else None

    def _tell(self, doing: str, done: int, total: int | None) -> None:
        now = self._now()
        if now >= self._due:
            self._due = now + EVERY
            share = f" of {total} rows ({done / total:.0%})" if total else " rows"
            self._write(f"{doing}: {done}{share}")

    def _write(self, line: str) -> None:
        """Write over the line that is there."""
        sys.stderr.write(f"\r{line.ljust(self._width)}" + ("" if line else "\r"))
        sys.stderr.flush()
        self._width = len(line)
