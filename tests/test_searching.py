"""Searches that may take long are made apart from the loop, and nobody waits longer than they were told to."""

from __future__ import annotations

import asyncio
import threading

import pytest

from exporter import patterns, searching
from exporter.searching import AT_ONCE, QUICK, apart, effort

LONG = 20.0


@pytest.mark.parametrize(("steps", "same"), [(QUICK, True), (QUICK + 1, False)], ids=["few", "many"])
async def test_few_steps_are_made_at_once_and_many_on_a_thread(steps: int, *, same: bool) -> None:
    """A thread would cost more than a short search."""
    ours = threading.get_ident()
    assert (await apart(threading.get_ident, steps, LONG) == ours) is same


@pytest.mark.parametrize("steps", [0, QUICK + 1], ids=["at once", "on a thread"])
async def test_what_is_raised_is_raised_here(steps: int) -> None:
    """And the thread is there for the next."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await apart(fail, steps, LONG)
    assert await apart(lambda: 1, QUICK + 1, LONG) == 1


async def test_what_is_late_goes_on_unheard_and_what_waited_too_long_is_not_begun() -> None:
    """All threads may be taken by searches that cannot be cut off: the next ones give up in time."""
    go, begun = threading.Event(), threading.Semaphore(0)
    done: list[str] = []

    def hang() -> None:
        begun.release()
        go.wait(LONG)

    hanging = [asyncio.create_task(apart(hang, QUICK + 1, LONG)) for _ in range(AT_ONCE)]
    try:
        for _ in hanging:
            assert await asyncio.to_thread(begun.acquire, timeout=LONG)
        hanging[0].cancel()
        with pytest.raises(TimeoutError):
            await apart(lambda: done.append("late"), QUICK + 1, 0.05)
    finally:
        go.set()
    await asyncio.wait(hanging)
    await apart(lambda: done.append("next"), QUICK + 1, LONG)
    assert done == ["next"]
    assert sum(thread.name == "searching" for thread in threading.enumerate()) <= AT_ONCE


def test_the_effort_grows_with_the_pattern() -> None:
    """Repetitions are states: that is what makes a search slow."""
    assert effort(()) == 0
    assert effort(("a", "b")) == 2 * effort(("a",))
    assert effort(("(a?){1000}b",)) > 1000
    assert effort(("signed in",)) * 100_000 < QUICK
    assert patterns.compiled("a").programsize == searching.effort(("a",))
    with pytest.raises(ValueError, match="RE2"):
        effort(("(",))
