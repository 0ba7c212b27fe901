"""Log lines that strangers can cause, at a bounded rate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import Clock

_EVERY = 10.0


class Limited:
    """Writes at most one line each ten seconds; it says how many were left out before it."""

    def __init__(self, logger: logging.Logger, clock: Clock) -> None:
        self._logger = logger
        self._clock = clock
        self._last: float | None = None
        self._left_out = 0

    def warning(self, message: str, fields: Mapping[str, object]) -> None:
        """Log one line, or count it."""
        if self._may_write():
            self._write(logging.WARNING, message, fields, None)

    def error(self, message: str, fields: Mapping[str, object], error: BaseException) -> None:
        """Log one line with the traceback of `error`, or count it."""
        if self._may_write():
            self._write(logging.ERROR, message, fields, error)

    def _may_write(self) -> bool:
        now = self._clock.monotonic()
        if self._last is not None and now - self._last < _EVERY:
            self._left_out += 1
            return False
        self._last = now
        return True

    def _write(self, level: int, message: str, fields: Mapping[str, object], error: BaseException | None) -> None:
        facts = {**fields, "left_out_before": self._left_out} if self._left_out else dict(fields)
        self._left_out = 0
        self._logger.log(level, "%s", message, exc_info=error, extra={"fields": facts})
