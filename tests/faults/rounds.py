"""How often a fault is tried: some times in CI, and for as long as it takes where `make faults` asks for it."""

from __future__ import annotations

import os

LONG = os.environ.get("WATCHBRIDGE_TESTS_FAULTS") == "release"
"""Whether this run is one before a release."""


def rounds(short: int, long: int) -> int:
    """Return how often a fault is tried: `short` in CI, `long` before a release."""
    return long if LONG else short
