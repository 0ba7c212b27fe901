"""What becomes of an item after a run. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.model import Done, GiveUp

if TYPE_CHECKING:
    from exporter.model import ItemState, Outcome, Reading
    from exporter.store.action_runs import RunOutcome
    from exporter.worker.queues import Queue

UNSEEN: Final = "the end of its run was not seen"


@dataclass(frozen=True, slots=True)
class Ending:
    """The item's state from now on and the sentence for why; `at` is when it is due again, or when it ended.

    `outcome` is how the run ended, in one word.
    """

    state: ItemState
    outcome: RunOutcome
    explanation: str
    at: float


def ended(outcome: Outcome, verified: Reading | None, attempt: int, queue: Queue, now: float) -> Ending:
    """Return what becomes of an item whose run ended; `verified` is what the probe found after it, if one is asked."""
    if isinstance(outcome, Done):
        if verified is None:
            return Ending("done", "done", outcome.detail, now)
        if verified.success:
            return Ending("done", "done", f"{outcome.detail}; it is {verified.state}: {verified.reason}", now)
        said = f"{outcome.detail}, but the probe that verifies says {verified.state}: {verified.reason}"
        return _failed("unverified", said, attempt, queue, now)
    if isinstance(outcome, GiveUp):
        return Ending("dead", "give_up", outcome.detail, now)
    return _failed("retry", outcome.detail, attempt, queue, now, outcome.after)


def interrupted(verified: Reading | None, attempt: int, queue: Queue | None, now: float) -> Ending:
    """Return what becomes of an item whose run nobody saw end; `queue` is None where it is no longer worked off."""
    if queue is None:
        return Ending("dead", "interrupted", f"{UNSEEN}, and its queue has no action any more", now)
    if verified is not None:
        said = f"{UNSEEN}; the probe that verifies says {verified.state}: {verified.reason}"
        if verified.success:
            return Ending("done", "interrupted", said, now)
        return _failed("interrupted", said, attempt, queue, now)
    if queue.retries_interrupted:
        return _failed("interrupted", UNSEEN, attempt, queue, now)
    advice = f"see whether it was done, then `watchbridge backlog retry` or `mark-processed` (attempt {attempt})"
    return Ending("dead", "interrupted", f"{UNSEEN}: {advice}", now)


def _failed(
    outcome: RunOutcome, said: str, attempt: int, queue: Queue, now: float, after: float | None = None
) -> Ending:
    if attempt >= queue.attempts:
        return Ending("dead", outcome, f"{said} (attempt {attempt} of {queue.attempts}, the last)", now)
    wait = queue.wait(attempt) if after is None else after
    return Ending("failed", outcome, f"{said} (attempt {attempt} of {queue.attempts})", now + wait)
