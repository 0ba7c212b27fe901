"""The one real clock; tests hand in their own."""

from __future__ import annotations

import time


class SystemClock:
    """Time as the operating system tells it."""

    def time(self) -> float:
        """Return seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
