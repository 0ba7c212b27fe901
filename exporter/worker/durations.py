"""What runs of actions count: how many ended how, and how long they took, as totals that the store keeps."""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import Labels

ACTIONS: Final = "watchbridge_actions_total"
"""Labels: action (the queue), kind, outcome."""
HELD: Final = "watchbridge_actions_held_total"
"""Labels: reason."""
DURATION: Final = "watchbridge_action_duration_seconds"
"""The histogram as it is exposed. Labels: action, kind, outcome."""
DURATION_BUCKET: Final = "watchbridge_action_duration_seconds_bucket"
"""Stored: runs by action, kind, outcome and the least bound that they kept; not yet summed up over the bounds."""
DURATION_SUM: Final = "watchbridge_action_duration_seconds_sum"
"""Stored: seconds by action, kind and outcome."""

BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds."""
_WORDS: Final = (*(repr(bound) for bound in BOUNDS), "+Inf")


def increments(labels: Labels, seconds: float | None) -> Iterator[tuple[tuple[str, Labels], float]]:
    """Yield what one run adds to the totals; `seconds` is None for one whose end nobody saw."""
    yield (ACTIONS, labels), 1.0
    if seconds is not None:
        yield (DURATION_BUCKET, (*labels, _WORDS[bisect.bisect_left(BOUNDS, seconds)])), 1.0
        yield (DURATION_SUM, labels), seconds


def histogram(buckets: Mapping[Labels, float], sums: Mapping[Labels, float]) -> dict[Labels, float]:
    """Return the samples of `DURATION` from the stored totals: for each action the bounds, `sum` and `count`."""
    found: dict[Labels, float] = {}
    for labels in sorted({one[:-1] for one in buckets}):
        counts = [buckets.get((*labels, word), 0.0) for word in _WORDS]
        found |= {(*labels, word): total for word, total in zip(_WORDS, itertools.accumulate(counts), strict=True)}
        found[*labels, "sum"] = sums.get(labels, 0.0)
        found[*labels, "count"] = sum(counts)
    return found
