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
LONGEST_LOOK: Final = 300.0
"""Seconds between two looks at most at what was up each time, while its alert fires."""
IN_THE_WAY: Final = 5.0
"""Seconds after which it is tried again, at least, where we were in the way of ourselves."""
LONGEST_IN_THE_WAY: Final = 60.0
LONGEST_PERSON: Final = 30.0
"""Seconds for which what a person wants is tried anew where we were in the way of ourselves."""
SHARE: Final = 0.25
"""The share of an item's age that the next look waits: the longer it goes on like that, the less is news."""


def ended(attempt: Attempt, item: BacklogItem, timing: RestartTiming, now: float) -> Ending:
    """Return what becomes of an item whose attempt ended.

    One that something wrong led to is tried for as long as that stands: so many attempts soon after one another, each
    later than the one before, then a rest; its circuit bounds it. What is up is left alone, and looked at again until
    the alert resolves. What a person wanted ends after its attempts.
    """
    word, detail = attempt.word, attempt.detail
    if attempt.verified:
        return Ending("done", word, detail, now)
    if word == "give_up":
        return Ending("dead", word, detail, now)
    if attempt.verified is None:
        return _unjudged(attempt, item, timing, now)
    return _failed(attempt, item, timing, now)


def _unjudged(attempt: Attempt, item: BacklogItem, timing: RestartTiming, now: float) -> Ending:
    share = max(0.0, now - item.created_at) * SHARE
    if attempt.word != "healthy" and item.origin not in CAUSED and now - item.created_at > LONGEST_PERSON:
        return Ending("dead", attempt.word, attempt.detail, now)
    if attempt.word != "healthy":
        wait = min(max(IN_THE_WAY, share), LONGEST_IN_THE_WAY)
        return Ending("failed", attempt.word, attempt.detail, now + wait)
    # Its alert fires still: what is down again before that resolves must not be left alone.
    wait = min(max(timing.rest, IN_THE_WAY, share), LONGEST_LOOK)
    return Ending("pending", "healthy", f"{attempt.detail}; looked at again while its alert fires", now + wait)


def _failed(attempt: Attempt, item: BacklogItem, timing: RestartTiming, now: float) -> Ending:
    number = (item.attempts - 1) % timing.attempts + 1
    said = f"{attempt.detail} (attempt {item.attempts})"
    if number < timing.attempts:
        return Ending("failed", attempt.word, said, now + min(timing.delay * 2.0 ** (number - 1), LONGEST_WAIT))
    if item.origin not in CAUSED:
        return Ending("dead", attempt.word, f"{attempt.detail} (attempt {item.attempts}, the last)", now)
    return Ending("failed", attempt.word, said, now + timing.rest)
