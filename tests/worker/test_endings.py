"""What becomes of an item after a run: over, tried again later, or dead and kept."""

from __future__ import annotations

from typing import Any

import pytest
from servers.watched import reading

from exporter.model import Done, GiveUp, Retry
from exporter.worker.endings import ended, interrupted
from exporter.worker.queues import Queue


def queue(**changes: Any) -> Queue:
    """Return a queue with three attempts."""
    return Queue(**{"name": "q", "deeds": {}, "attempts": 3, "backoff": (2.0, 4.0)} | changes)


UP, DOWN, UNKNOWN = reading("up"), reading("down"), reading("unknown")


@pytest.mark.parametrize(
    ("outcome", "verified", "attempt", "expected"),
    [
        (Done("well"), None, 1, ("done", "done", 100.0)),
        (Done("well"), None, 9, ("done", "done", 100.0)),
        (Done("well"), UP, 1, ("done", "done", 100.0)),
        (Done("well"), reading("degraded"), 1, ("done", "done", 100.0)),
        (Done("well"), DOWN, 1, ("failed", "unverified", 102.0)),
        (Done("well"), UNKNOWN, 2, ("failed", "unverified", 104.0)),
        (Done("well"), DOWN, 3, ("dead", "unverified", 100.0)),
        (Retry("ill"), None, 1, ("failed", "retry", 102.0)),
        (Retry("ill"), None, 2, ("failed", "retry", 104.0)),
        (Retry("ill"), None, 3, ("dead", "retry", 100.0)),
        (Retry("ill"), None, 4, ("dead", "retry", 100.0)),
        (Retry("ill", after=60.0), None, 1, ("failed", "retry", 160.0)),
        (Retry("ill", after=0.0), None, 1, ("failed", "retry", 100.0)),
        (Retry("ill", after=60.0), None, 3, ("dead", "retry", 100.0)),
        (GiveUp("never"), None, 1, ("dead", "give_up", 100.0)),
    ],
)
def test_after_a_run(outcome: Any, verified: Any, attempt: int, expected: tuple[str, str, float]) -> None:
    """The sentence begins with what the action said, and names the attempt where another may follow."""
    ending = ended(outcome, verified, attempt, queue(), 100.0)
    assert (ending.state, ending.outcome, ending.at) == expected
    assert ending.explanation.startswith(outcome.detail)
    assert ("attempt" in ending.explanation) == (expected[1] in {"retry", "unverified"})
    if verified is not None:
        assert verified.reason in ending.explanation


@pytest.mark.parametrize(
    ("verified", "attempt", "where", "state", "at"),
    [
        (UP, 3, queue(), "done", 100.0),
        (DOWN, 1, queue(), "failed", 102.0),
        (DOWN, 3, queue(), "dead", 100.0),
        (UNKNOWN, 1, queue(), "failed", 102.0),
        (None, 1, queue(), "dead", 100.0),
        (None, 1, queue(retries_interrupted=True), "failed", 102.0),
        (None, 3, queue(retries_interrupted=True), "dead", 100.0),
        (None, 1, None, "dead", 100.0),
    ],
)
def test_after_a_run_that_nobody_saw_end(verified: Any, attempt: int, where: Any, state: str, at: float) -> None:
    """The probe decides, else the rule of the queue: unknown is neither success nor tried again blindly (I7)."""
    ending = interrupted(verified, attempt, where, 100.0)
    assert (ending.state, ending.outcome, ending.at) == (state, "interrupted", at)


def test_the_last_wait_holds_for_all_later_attempts() -> None:
    assert [queue().wait(attempt) for attempt in (1, 2, 3, 50)] == [2.0, 4.0, 4.0, 4.0]
