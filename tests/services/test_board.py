"""The series of the board are always those of a board that was made afresh."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from servers.watched import NOON, reading, service

from exporter.model import STATES, Component
from exporter.schedule import Cron, Every
from exporter.services import board as boards
from exporter.services.board import COMPONENTS, FAMILIES, Board
from exporter.services.standing import Counted, Standing

if TYPE_CHECKING:
    from exporter.model import Family
    from exporter.services.service import Service

STALE = 3 * 60.0 + 5.0
RICH = {
    "status_code": 200,
    "tls_expiry": NOON + 1e6,
    "phases": {"resolve": 0.1, "connect": 0.2},
    "components": (Component("database", "up"), Component("cache", "degraded")),
}


def shown(board: Board, family: Family) -> dict[tuple[str, ...], float]:
    return board.samples()[family]


def with_one(watched: Service, now: float = NOON) -> Board:
    board = Board()
    board.add(Standing(watched, since=now), now)
    return board


def test_a_service_has_its_few_series_from_the_first_scrape() -> None:
    """All five states, the interval and both run counters; what is not known is absent."""
    board = with_one(service())
    key = ("acme", "service-00000")
    assert shown(board, boards.STATE) == {(*key, state): float(state == "unknown") for state in STATES}
    assert shown(board, boards.INTERVAL) == {key: 60.0}
    assert shown(board, boards.RUNS) == {(*key, "success"): 0, (*key, "failure"): 0}
    others = set(FAMILIES) - {boards.STATE, boards.INTERVAL, boards.RUNS}
    assert all(shown(board, family) == {} for family in others)


def test_a_reading_is_shown_and_replaced_by_the_next() -> None:
    """A code, an expiry, a phase that the next reading does not have is no longer there."""
    board, key = with_one(service(full=True)), ("acme", "service-00000")
    transition = board.note(1, reading("degraded", **RICH), NOON + 1)
    assert transition is not None
    assert transition.state == "degraded"
    assert shown(board, boards.STATE)[*key, "degraded"] == 1
    assert shown(board, boards.SUCCESS) == {key: 1}
    assert shown(board, boards.DURATION) == {key: 0.25}
    assert shown(board, boards.LAST_RUN) == {key: NOON + 1}
    assert shown(board, boards.CODE) == {key: 200}
    assert shown(board, boards.EXPIRY) == {key: NOON + 1e6}
    assert shown(board, boards.PHASE) == {(*key, "resolve"): 0.1, (*key, "connect"): 0.2}
    assert shown(board, boards.COMPONENT)[*key, "cache", "degraded"] == 1
    assert shown(board, boards.COMPONENT)[*key, "cache", "up"] == 0
    board.note(1, reading("down", phases={"resolve": 0.3}), NOON + 61)
    assert shown(board, boards.SUCCESS) == {key: 0}
    assert shown(board, boards.PHASE) == {(*key, "resolve"): 0.3}
    for family in (boards.CODE, boards.EXPIRY, boards.COMPONENT):
        assert shown(board, family) == {}


def test_only_full_series_have_phases_and_components() -> None:
    """Turned on, they come with what is known already; turned off, they go."""
    board = with_one(service())
    board.note(1, reading(**RICH), NOON + 1)
    assert shown(board, boards.PHASE) == shown(board, boards.COMPONENT) == {}
    board.replace(service(full=True), NOON + 2)
    assert len(shown(board, boards.PHASE)) == 2
    assert len(shown(board, boards.COMPONENT)) == 6
    board.replace(service(full=False), NOON + 3)
    assert shown(board, boards.PHASE) == shown(board, boards.COMPONENT) == {}
    assert shown(board, boards.SUCCESS) == {("acme", "service-00000"): 1}


def test_components_are_at_most_fifty() -> None:
    board = with_one(service(full=True))
    many = tuple(Component(f"part-{number}", "up") for number in range(500))
    board.note(1, reading(components=many), NOON + 1)
    assert len({labels[2] for labels in shown(board, boards.COMPONENT)}) == COMPONENTS


@pytest.mark.parametrize("windowed", [False, True], ids=["probed", "in maintenance"])
@pytest.mark.parametrize("state", ["up", "unknown"])
def test_what_is_too_old_is_not_shown(state: Any, windowed: bool) -> None:  # noqa: FBT001 - a parameter
    """After three intervals success, duration, code and expiry are gone; when it last ran stays."""
    board, key = with_one(service(full=True)), ("acme", "service-00000")
    board.note(1, reading(state, **RICH), NOON)
    windows = {1: "planned maintenance"} if windowed else {}
    board.look(NOON + STALE, windows)
    assert shown(board, boards.DURATION) == {key: 0.25}
    board.look(NOON + STALE + 1, windows)
    for family in (boards.SUCCESS, boards.DURATION, boards.CODE, boards.EXPIRY, boards.PHASE, boards.COMPONENT):
        assert shown(board, family) == {}
    assert shown(board, boards.LAST_RUN) == {key: NOON}
    assert shown(board, boards.STATE)[*key, "maintenance" if windowed else "unknown"] == 1


def test_looking_tells_each_change_once() -> None:
    board = Board()
    for number in (1, 2, 3):
        board.add(Standing(service(number), since=NOON), NOON)
        board.note(number, reading("up"), NOON)
    assert board.look(NOON + 1, {}) == []
    assert [(one.service.id, one.state) for one in board.look(NOON + 2, {2: "planned maintenance"})] == [
        (2, "maintenance")
    ]
    assert board.look(NOON + 3, {2: "planned maintenance"}) == []
    found = board.look(NOON + STALE + 1, {})
    assert [(one.service.id, one.state) for one in found] == [(1, "unknown"), (2, "unknown"), (3, "unknown")]
    assert board.look(NOON + STALE + 2, {}) == []


def test_who_is_removed_leaves_nothing_and_is_noted_no_more() -> None:
    board = with_one(service(full=True))
    board.note(1, reading(**RICH), NOON)
    removed = board.remove(1)
    assert removed is not None
    assert removed.service.id == 1
    assert all(series == {} for series in board.samples().values())
    assert board.note(1, reading(), NOON + 1) is None
    assert board.remove(1) is None
    assert list(board) == []


def test_other_labels_leave_none_of_the_old() -> None:
    board = with_one(service(full=True))
    board.note(1, reading(**RICH), NOON)
    board.replace(service(full=True, client="other", name="web"), NOON + 1)
    for family, series in board.samples().items():
        assert series, family.name
        assert {labels[:2] for labels in series} == {("other", "web")}


def test_samples_do_not_change_while_they_are_rendered() -> None:
    board = with_one(service())
    before = board.samples()
    kept = {family: dict(series) for family, series in before.items()}
    board.note(1, reading(), NOON)
    board.remove(1)
    assert before == kept


class AsAfresh(RuleBasedStateMachine):
    """Random lives of services: after each step the board equals one that sees all of it for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.board, self.now, self.windows = Board(), NOON, set[int]()
        self.made = 0

    identities = st.integers(0, 3)

    def _some(self, place: int) -> int:
        return sorted(self.board.standings)[place % len(self.board.standings)]

    @rule(full=st.booleans(), pace=st.sampled_from([Every(60.0), Every(5.0), Cron.parse("*/5 * * * *", "UTC")]))
    def add(self, full: bool, pace: Any) -> None:  # noqa: FBT001 - drawn
        self.made += 1
        one = Standing(service(self.made, full=full, pace=pace), since=self.now, counted=Counted(3, 4))
        self.board.add(one, self.now)

    @precondition(lambda self: self.board.standings)
    @rule(
        place=identities,
        state=st.sampled_from(["up", "degraded", "down", "unknown"]),
        code=st.sampled_from([None, 200, 500]),
        phases=st.sets(st.sampled_from(["resolve", "connect", "tls"])),
        parts=st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
    )
    def note(self, place: int, state: Any, code: int | None, phases: set[str], parts: list[str]) -> None:
        found = reading(
            state,
            status_code=code,
            phases=dict.fromkeys(phases, 0.5),
            components=tuple(Component(part, "up") for part in parts),
        )
        self.board.note(self._some(place), found, self.now)

    @precondition(lambda self: self.board.standings)
    @rule(place=identities, full=st.booleans(), name=st.sampled_from(["", "-x", "-y"]))
    def change(self, place: int, full: bool, name: str) -> None:  # noqa: FBT001 - drawn
        identity = self._some(place)
        before = self.board.standings[identity].service
        self.board.replace(replace(before, full=full, name=f"service-{identity}{name}"), self.now)

    @precondition(lambda self: self.board.standings)
    @rule(place=identities)
    def remove(self, place: int) -> None:
        self.board.remove(self._some(place))

    @precondition(lambda self: self.board.standings)
    @rule(place=identities, success=st.integers(0, 5))
    def count(self, place: int, success: int) -> None:
        one = self.board.standings[self._some(place)]
        one.counted.runs_success += success
        self.board.counted(one)

    @rule(passed=st.floats(0.0, 400.0), windows=st.sets(st.integers(1, 6)))
    def look(self, passed: float, windows: set[int]) -> None:
        self.now += passed
        self.windows = windows
        self.board.look(self.now, dict.fromkeys(windows, "planned maintenance"))

    @invariant()
    def equals_one_made_afresh(self) -> None:
        fresh = Board()
        for one in self.board:
            fresh.add(one, self.now if one.stale else (one.ran_at or self.now))
        found, expected = self.board.samples(), fresh.samples()
        for family in FAMILIES:
            if family is not boards.INTERVAL:
                assert found[family] == expected[family], family.name
        assert found[boards.INTERVAL].keys() == expected[boards.INTERVAL].keys()
        states = Counter(labels[:2] for labels, value in found[boards.STATE].items() if value)
        assert set(states.values()) <= {1}
        assert len(states) == len(self.board.standings)


TestAsAfresh = AsAfresh.TestCase
TestAsAfresh.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
