"""What becomes of the item of a restart after an attempt. Pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.store.restart_facts import CAUSED
from exporter.worker.endings import Ending

if TYPE_CHECKING:
    from exporter.restarting.attempt import Attempt
    from exporter.restarting.options import RestartTiming
    from exporter.store.backlog_rows import BacklogItem

LONGEST_WAIT: Final = 3_600.0
"""Seconds between two attempts at most, however often one has failed."""
IN_THE_WAY: Final = 5.0
"""Seconds after which it is tried again where we were in the way of ourselves; so many more after each attempt."""
LONGEST_IN_THE_WAY: Final = 60.0


def ended(attempt: Attempt, item: BacklogItem, timing: RestartTiming, now: float) -> Ending:
    """Return what becomes of an item whose attempt ended.

    One that something wrong led to is tried for as long as that stands: so many attempts soon after one another, each
    later than the one before, then a rest; its circuit bounds it. What a person wanted ends after its attempts.
    """
    if attempt.verified or attempt.word == "healthy":
        return Ending("done", attempt.word, attempt.detail, now)
    if attempt.word == "give_up":
        return Ending("dead", "give_up", attempt.detail, now)
    if attempt.verified is None:
        return Ending("failed", attempt.word, attempt.detail, now + min(IN_THE_WAY * item.attempts, LONGEST_IN_THE_WAY))
    number = (item.attempts - 1) % timing.attempts + 1
    said = f"{attempt.detail} (attempt {item.attempts})"
    if number < timing.attempts:
        return Ending("failed", attempt.word, said, now + min(timing.delay * 2 ** (number - 1), LONGEST_WAIT))
    if item.origin not in CAUSED:
        return Ending("dead", attempt.word, f"{attempt.detail} (attempt {item.attempts}, the last)", now)
    return Ending("failed", attempt.word, said, now + timing.rest)
