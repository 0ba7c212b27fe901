"""Circuits: closed until so many restarts in a row failed, then left alone, then tried once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exporter import circuit
from exporter.circuit import CLOSED, STATES, TRIAL_AGAIN, Circuit, Limits, barred, dropped, moved, reset, step, tried

NOON: Final = 1_777_636_800.0
LIMITS: Final = Limits(3, 300.0)
OPEN: Final = Circuit(3, 1, NOON, NOON + 300)


def test_it_opens_at_the_third_failure_and_not_before() -> None:
    """It remembers when, and when it lets a trial through; each failure is one."""
    found = [CLOSED]
    for second in range(3):
        found.append(step(found[-1], False, NOON + second, LIMITS))  # noqa: FBT003 -- the design's name for it
    assert [one.state(NOON + 2) for one in found] == ["closed", "closed", "closed", "open"]
    assert found == [CLOSED, Circuit(1), Circuit(2), Circuit(3, 1, NOON + 2, NOON + 302)]


@pytest.mark.parametrize(
    ("after", "state"),
    [(-86_400.0, "open"), (0.0, "open"), (299.999, "open"), (300.0, "half_open"), (1e9, "half_open")],
)
def test_time_alone_opens_the_half(after: float, state: str) -> None:
    """An open circuit lets nothing through until then, however often it is asked; a half-open one does."""
    assert OPEN.state(NOON + after) == state
    assert state in STATES
    why = barred(OPEN, "mysql", NOON + after)
    assert (why is None) == (state == "half_open")
    if why is not None:
        assert why.sentence == "the circuit of mysql is open after 3 failures: one trial from 12:05:00 UTC"
        assert why.look_again_at == NOON + 300


def test_half_open_it_lets_exactly_one_through() -> None:
    """Who comes next is told which item is tried, and looks again soon; it is let through where that was no run."""
    now = NOON + 300
    assert barred(OPEN, "db", now) is None
    trying = tried(OPEN, 7, now)
    assert trying == replace(OPEN, trial=7)
    why = barred(trying, "db", now)
    assert why is not None
    assert why.sentence == "the circuit of db is half-open, and its one trial is under way (item 7)"
    assert why.look_again_at == now + TRIAL_AGAIN
    assert dropped(trying, 8) == trying
    assert barred(dropped(trying, 7), "db", now) is None


@pytest.mark.parametrize("found", [CLOSED, Circuit(2), OPEN])
def test_what_runs_under_another_state_is_no_trial(found: Circuit) -> None:
    assert tried(found, 7, NOON) == found


def test_a_trial_that_helped_closes_and_one_that_failed_opens_anew() -> None:
    """At once, whatever the limit is: the full time passes before the next; the count of openings never falls."""
    now = NOON + 400
    trying = tried(OPEN, 7, now)
    assert step(trying, True, now, LIMITS) == Circuit(opened=1)  # noqa: FBT003 -- the design's name for it
    again = step(trying, False, now, replace(LIMITS, failures=1000))  # noqa: FBT003 -- the same
    assert again == Circuit(4, 2, now, now + 300)
    assert again.state(now + 299) == "open"


def test_what_was_under_way_when_it_opened_and_fails_too_is_no_news() -> None:
    """It is counted, and neither lets the trial wait longer nor opens it once more; that it helped closes it."""
    now = NOON + 299
    assert step(OPEN, False, now, LIMITS) == replace(OPEN, failures=4)  # noqa: FBT003 -- the design's name for it
    assert step(OPEN, True, now, LIMITS) == Circuit(opened=1)  # noqa: FBT003 -- the same


def test_one_failure_is_told_as_one() -> None:
    found = step(CLOSED, False, NOON, Limits(1, 60.0))  # noqa: FBT003 -- the design's name for it
    why = barred(found, "db", NOON + 59.9)
    assert why is not None
    assert why.sentence == "the circuit of db is open after 1 failure: one trial from 12:01:00 UTC"


def test_a_person_closes_it_and_its_openings_stay_counted() -> None:
    assert reset(tried(OPEN, 7, NOON + 300)) == Circuit(opened=1)
    assert reset(CLOSED) == CLOSED


@pytest.mark.parametrize("seconds", [86_400.0, -86_400.0, 0.25])
def test_a_clock_that_is_set_neither_shortens_nor_lengthens_the_wait(seconds: float) -> None:
    """The trial that runs is the same; what waits for nothing is left as it is."""
    trying = replace(OPEN, trial=7)
    assert moved(trying, seconds) == Circuit(3, 1, NOON + seconds, NOON + 300 + seconds, 7)
    for found in (CLOSED, Circuit(2, 5)):
        assert moved(found, seconds) == found


class Model:
    """What the design says of one circuit, in its own words: it counts down, and knows of no time of day."""

    def __init__(self) -> None:
        self.failures = self.openings = 0
        self.left: float | None = None
        self.trial: int | None = None

    @property
    def state(self) -> str:
        if self.left is None:
            return "closed"
        return "open" if self.left > 0 else "half_open"

    def lets(self, item: int) -> bool:
        if self.state == "half_open" and self.trial is None:
            self.trial = item
            return True
        return self.state == "closed"

    def fails(self) -> None:
        self.failures += 1
        if self.state == "half_open" or (self.state == "closed" and self.failures >= LIMITS.failures):
            self.left, self.trial, self.openings = LIMITS.reset, None, self.openings + 1

    def helps(self) -> None:
        self.failures, self.left, self.trial = 0, None, None


class Restarts(RuleBasedStateMachine):
    """Restarts in any order under any clock: the circuit is as the model says, and what it lets through is bounded."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.found, self.now, self.items = Model(), CLOSED, NOON, 0
        self.running: list[int] = []
        self.trials: list[int] = []

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0, 299.0, 300.0, 301.0, 86_400.0]))
    def passes(self, seconds: float) -> None:
        self.now += seconds
        if self.model.left is not None:
            self.model.left -= seconds

    @rule(seconds=st.sampled_from([86_400.0, -86_400.0, 301.0, -301.0, -5.0, 5.0]))
    def is_set(self, seconds: float) -> None:
        """Set the clock, which is noticed: waits are as long as before."""
        self.now += seconds
        self.found = moved(self.found, seconds)

    @rule(count=st.integers(1, 9))
    def asks(self, count: int) -> None:
        """Let so many ask at once."""
        was, through = self.found.state(self.now), 0
        for _ in range(count):
            self.items += 1
            lets = barred(self.found, "db", self.now) is None
            assert lets == self.model.lets(self.items)
            if lets:
                through += 1
                self.found = tried(self.found, self.items, self.now)
                self.running.append(self.items)
                if was == "half_open":
                    self.trials.append(self.items)
        assert through <= {"closed": count, "open": 0, "half_open": 1}[was]

    @precondition(lambda self: self.running)
    @rule(place=st.integers(0, 100), ok=st.sampled_from([True, False, False, None]))
    def ends(self, place: int, ok: bool | None) -> None:  # noqa: FBT001 -- drawn
        """End a run: it helped, it failed, or it was none."""
        item = self.running.pop(place % len(self.running))
        before = self.found.state(self.now)
        if ok is None:
            self.found = dropped(self.found, item)
            self.model.trial = None if self.model.trial == item else self.model.trial
            assert self.found.state(self.now) == before
            return
        self.found = step(self.found, ok, self.now, LIMITS)
        if ok:
            self.model.helps()
        else:
            self.model.fails()
            assert before == "closed" or self.found.state(self.now) == "open"

    @rule()
    def is_reset(self) -> None:
        self.found = reset(self.found)
        self.model.helps()

    @invariant()
    def agrees(self) -> None:
        found, model = self.found, self.model
        assert (found.state(self.now), found.failures, found.opened) == (model.state, model.failures, model.openings)
        assert found.trial == model.trial
        assert (found.opened_at is None) == (found.retry_at is None)
        if found.trial is not None:
            assert found.trial == self.trials[-1], "the newest of those that were let through half-open"
            assert found.trial in self.running
        if found.retry_at is not None and model.left is not None:
            assert found.retry_at - self.now == model.left


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def test_the_states_are_those_that_are_shown() -> None:
    assert set(STATES) == {"closed", "open", "half_open"}
    assert circuit.CLOSED.state(NOON) == "closed"
