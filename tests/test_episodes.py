"""Episodes of alerts: one for each time that something is wrong, however often and in which order that is told."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.alerts import Alert
from exporter.episodes import Episode, Step, passed, told

NOON = 1_777_636_800.0
HELD, SILENT = 300.0, 90_000.0
STEPS = int(os.environ.get("WATCHBRIDGE_TESTS_EPISODE_STEPS", "1000"))
"""Steps of the random lives: 50,000 in a release run."""


def firing(starts_at: float) -> Alert:
    return Alert("f", "firing", {}, {}, starts_at)


def ended(ends_at: float | None, starts_at: float = 0.0) -> Alert:
    return Alert("f", "resolved", {}, {}, starts_at, ends_at)


def played(*messages: tuple[float, Alert], head: Episode | None = None) -> list[Step]:
    """Return the step of each message, that comes so many seconds after noon."""
    steps = []
    for at, alert in messages:
        steps.append(told(head, alert, NOON + at, HELD))
        head = steps[-1].episode
    return steps


def outcomes(*messages: tuple[float, Alert]) -> list[tuple[str, str, bool]]:
    return [(step.outcome, step.episode.state, step.fresh) for step in played(*messages)]


LIVES = {
    "it opens once, until it is resolved": (
        [(0, firing(100)), (15, firing(100)), (300, firing(100)), (400, ended(350)), (430, ended(350))],
        [
            ("accepted", "open", True),
            ("duplicate", "open", False),
            ("duplicate", "open", False),
            ("accepted", "resolved", False),
            ("duplicate", "resolved", False),
        ],
    ),
    "two replicas of Prometheus differ in the start": (
        [(0, firing(115)), (1, firing(100)), (2, firing(115)), (60, ended(130, 100))],
        [
            ("accepted", "open", True),
            ("duplicate", "open", False),
            ("duplicate", "open", False),
            ("accepted", "resolved", False),
        ],
    ),
    "it fires again after its end": (
        [(0, firing(100)), (60, ended(150)), (90, firing(151))],
        [("accepted", "open", True), ("accepted", "resolved", False), ("accepted", "open", True)],
    ),
    "a resend that was overtaken by the end is late, and ended by the end of who sent it": (
        [(0, firing(100)), (60, ended(150)), (61, firing(100)), (62, firing(115)), (80, ended(150))],
        [
            ("accepted", "open", True),
            ("accepted", "resolved", False),
            ("late", "late", True),
            ("duplicate", "late", False),
            ("accepted", "resolved", False),
        ],
    ),
    "a start that is the last end is not after it": (
        [(0, firing(100)), (60, ended(150)), (61, firing(150))],
        [("accepted", "open", True), ("accepted", "resolved", False), ("late", "late", True)],
    ),
    "what is late opens when it is told again after five minutes": (
        [(0, firing(100)), (60, ended(150)), (100, firing(100)), (399, firing(100)), (400, firing(100))],
        [
            ("accepted", "open", True),
            ("accepted", "resolved", False),
            ("late", "late", True),
            ("duplicate", "late", False),
            ("accepted", "open", False),
        ],
    ),
    "what is late opens when it fires with a start after the end": (
        [(0, firing(100)), (60, ended(150)), (100, firing(100)), (101, firing(151))],
        [
            ("accepted", "open", True),
            ("accepted", "resolved", False),
            ("late", "late", True),
            ("accepted", "open", False),
        ],
    ),
    "an end that comes first leaves a tombstone": (
        [(0, ended(150, 100)), (1, firing(100)), (2, ended(150, 100)), (3, firing(151))],
        [
            ("accepted", "resolved", True),
            ("late", "late", True),
            ("accepted", "resolved", False),
            ("accepted", "open", True),
        ],
    ),
    "the end of an earlier episode does not end this one": (
        [(0, firing(100)), (60, ended(150)), (90, firing(200)), (91, ended(150)), (120, ended(200))],
        [
            ("accepted", "open", True),
            ("accepted", "resolved", False),
            ("accepted", "open", True),
            ("late", "open", False),
            ("accepted", "resolved", False),
        ],
    ),
    "nor does it end one that is late": (
        [(0, ended(400, 300)), (1, firing(350)), (2, ended(200, 100)), (3, firing(350))],
        [
            ("accepted", "resolved", True),
            ("late", "late", True),
            ("late", "late", False),
            ("duplicate", "late", False),
        ],
    ),
    "the end of one whose end was lost does not end the next": (
        [(0, firing(100)), (60, firing(200)), (61, ended(150, 100)), (90, ended(250, 200))],
        [
            ("accepted", "open", True),
            ("duplicate", "open", False),
            ("late", "open", False),
            ("accepted", "resolved", False),
        ],
    ),
    "nor where an earlier start was heard of after a later one": (
        [(0, firing(200)), (1, firing(100)), (2, ended(150, 100))],
        [("accepted", "open", True), ("duplicate", "open", False), ("late", "open", False)],
    ),
    "a later end of what has ended makes a firing before it late": (
        [(0, firing(100)), (60, ended(150)), (61, ended(300)), (62, firing(250)), (63, firing(301))],
        [
            ("accepted", "open", True),
            ("accepted", "resolved", False),
            ("duplicate", "resolved", False),
            ("late", "late", True),
            ("accepted", "open", False),
        ],
    ),
    "an end without a time is now": (
        [(0, firing(NOON)), (60, ended(None)), (61, firing(NOON + 60)), (62, firing(NOON + 61))],
        [
            ("accepted", "open", True),
            ("accepted", "resolved", False),
            ("late", "late", True),
            ("accepted", "open", False),
        ],
    ),
}


@pytest.mark.parametrize("life", LIVES)
def test_what_messages_mean(life: str) -> None:
    """Each message has one outcome, and leaves the episode in one state; a new episode is said to be one."""
    messages, expected = LIVES[life]
    assert outcomes(*messages) == expected


def test_fifty_flaps_are_fifty_episodes() -> None:
    """Each firing after an end opens one, each end closes it, and nothing of it is late."""
    messages = []
    for turn in range(50):
        messages += [(turn * 20.0, firing(turn * 20.0)), (turn * 20.0 + 10, ended(turn * 20.0 + 10))]
    steps = played(*messages)
    assert [step.outcome for step in steps] == ["accepted"] * 100
    assert [step.fresh for step in steps] == [True, False] * 50


def test_without_a_time_to_hold_nothing_is_late() -> None:
    """`late_for: 0` opens at once what fires again, and what an earlier setting holds."""
    head = told(None, ended(150), NOON, HELD).episode
    assert told(head, firing(100), NOON + 1, 0.0).episode.state == "open"
    late = told(head, firing(100), NOON + 1, HELD).episode
    assert told(late, firing(100), NOON + 2, 0.0) == Step(
        "accepted", Episode("open", 100, NOON + 1, NOON + 2, NOON + 2, 150, None)
    )
    assert passed(late, NOON + 2, 0.0, SILENT) is not None


def test_times_of_an_episode() -> None:
    """When it was first and last heard of, opened, ended by the sender's clock and closed by ours."""
    steps = played((0, firing(100)), (60, firing(115)), (70, ended(150)), (80, firing(150)), (380, firing(150)))
    opened, again, over, late, reopened = (step.episode for step in steps)
    assert opened == Episode("open", 100, NOON, NOON, NOON)
    assert again == Episode("open", 115, NOON, NOON + 60, NOON)
    assert over == Episode("resolved", 115, NOON, NOON + 70, NOON, 150, NOON + 70)
    assert late == Episode("late", 150, NOON + 80, NOON + 80, None, 150)
    assert reopened == Episode("open", 150, NOON + 80, NOON + 380, NOON + 380, 150)
    assert [one.over for one in (opened, over, late, reopened)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("after", "state"), [(299.5, None), (300.0, "open"), (1e6, "open"), (-299.5, None), (-301.0, "open")]
)
def test_time_opens_what_is_late(after: float, state: str | None) -> None:
    """After five minutes; and one from the future at once, because the clock was set back."""
    late = Episode("late", 100, NOON, NOON, ended_at=150)
    later = passed(late, NOON + after, HELD, SILENT)
    assert (None if later is None else later.state) == state
    if later is not None:
        assert (later.opened_at, later.first_at, later.ended_at) == (NOON + after, NOON, 150)


@pytest.mark.parametrize(("after", "state"), [(90_000.0, None), (90_000.5, "silent"), (-1e6, None)])
def test_time_closes_what_is_silent(after: float, state: str | None) -> None:
    """After more than `silent_after` without a message; age alone is never stale."""
    head = told(Episode("open", 100, NOON - 1e6, NOON - 1e6, NOON - 1e6), firing(100), NOON, HELD).episode
    later = passed(head, NOON + after, HELD, SILENT)
    assert (None if later is None else later.state) == state
    if later is not None:
        assert (later.ended_at, later.closed_at) == (NOON + after, NOON + after)


@pytest.mark.parametrize("state", ["resolved", "silent"])
def test_time_leaves_what_is_over(state: Any) -> None:
    """Neither opens nor closes again."""
    assert passed(Episode(state, 100, NOON, NOON, NOON, 150, NOON), NOON + 1e9, HELD, SILENT) is None


class Model:
    """What the design says of one alert, in its own words."""

    def __init__(self) -> None:
        self.opened = 0
        self.is_open = False
        self.held: float | None = None
        self.start = self.heard = 0.0
        self.end: float | None = None

    def opens(self) -> str:
        self.opened, self.is_open, self.held = self.opened + 1, True, None
        return "accepted"

    def fires(self, start: float, now: float) -> str:
        self.heard = now
        if self.is_open:
            self.start = max(self.start, start)
            return "duplicate"
        if self.end is None or start > self.end:
            self.start = start
            return self.opens()
        if self.held is None:
            self.held, self.start = now, start
            return "late"
        return self.opens() if now - self.held >= HELD else "duplicate"

    def ends(self, end: float) -> str:
        alive = self.is_open or self.held is not None
        if alive and end < self.start:
            return "late"
        known, self.end = self.end is not None, max(end, self.end or end)
        self.is_open, self.held = False, None
        return "accepted" if alive or not known else "duplicate"

    def looks(self, now: float) -> None:
        if self.held is not None and now - self.held >= HELD:
            self.opens()
        elif self.is_open and now - self.heard > SILENT:
            self.is_open, self.end = False, max(now, self.end or now)


class Lives(RuleBasedStateMachine):
    """Random messages in any order, and time that passes: the episode is as the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.now, self.opened = Model(), NOON, 0
        self.head: Episode | None = None

    def _take(self, alert: Alert, expected: str) -> None:
        was = self.head is not None and self.head.state == "open"
        step = told(self.head, alert, self.now, HELD)
        assert step.outcome == expected
        if step.episode.state == "open" and (step.fresh or not was):
            self.opened += 1
        if step.fresh:
            assert self.head is None or self.head.over, "only what has ended is followed by a new one"
        self.head = step.episode

    # Multiples of the replicas' 15 s, so that times often are the same.
    offsets = st.integers(-30, 2).map(lambda steps: steps * 15.0)

    @rule(offset=offsets)
    def fires(self, offset: float) -> None:
        start = self.now + offset
        self._take(firing(start), self.model.fires(start, self.now))

    @rule(offset=st.none() | offsets)
    def ends(self, offset: float | None) -> None:
        end = None if offset is None else self.now + offset
        self._take(ended(end), self.model.ends(self.now if end is None else end))

    @rule(seconds=st.sampled_from([1.0, 14.0, 15.0, 150.0, 299.0, 300.0, 3600.0, 90_001.0]), look=st.booleans())
    def passes(self, seconds: float, look: bool) -> None:  # noqa: FBT001 - drawn
        self.now += seconds
        if not look or self.head is None:
            return
        self.model.looks(self.now)
        later = passed(self.head, self.now, HELD, SILENT)
        if later is not None:
            self.opened += later.state == "open"
            self.head = later

    @invariant()
    def agrees(self) -> None:
        head, model = self.head, self.model
        assert self.opened == model.opened
        if head is None:
            assert (model.is_open, model.held, model.end) == (False, None, None)
            return
        assert (head.state == "open", head.state == "late") == (model.is_open, model.held is not None)
        assert (head.closed_at is not None) == head.over
        assert (head.opened_at is not None) >= (head.state == "open")
        if head.over:
            assert head.ended_at == model.end


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=max(1, STEPS // 50),
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
