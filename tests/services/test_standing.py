"""The state of one service: by its last reading, by time, by a window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.watched import NOON, reading, service

from exporter.model import STATES, Component, State
from exporter.schedule import Cron, Every
from exporter.services.standing import Standing, kept

if TYPE_CHECKING:
    from exporter.services.service import Service

STALE = 3 * 60.0 + 5.0


def standing(watched: Service | None = None) -> Standing:
    return Standing(watched or service(), since=NOON)


@pytest.mark.parametrize("state", ["up", "degraded", "down", "unknown"])
def test_a_reading_makes_its_state(state: State) -> None:
    one = standing()
    transition = one.note(reading(state), NOON + 1)
    assert one.state == state
    assert one.reason == f"it is {state}"
    assert one.ran_at == NOON + 1
    if state == "unknown":
        assert transition is None
        assert one.since == NOON
    else:
        assert transition == (one.service, state, f"it is {state}", NOON + 1)
        assert one.since == NOON + 1


def test_the_same_state_is_no_transition_and_has_the_newest_words() -> None:
    one = standing()
    one.note(reading("down", reason="refused"), NOON + 1)
    assert one.note(reading("down", reason="timeout"), NOON + 61) is None
    assert (one.state, one.since, one.reason) == ("down", NOON + 1, "timeout")


def test_a_reading_is_shown_until_three_intervals_are_over() -> None:
    """Exactly then it still is; a moment later the state is unknown, and that is told once."""
    one = standing()
    one.note(reading("up"), NOON)
    assert one.fresh(NOON + STALE)
    assert not one.due(NOON + STALE, window=None)
    assert not one.fresh(NOON + STALE + 0.001)
    assert one.due(NOON + STALE + 0.001, window=None)
    transition = one.look(NOON + STALE + 0.001, window=None)
    assert transition is not None
    assert transition.state == "unknown"
    assert "more than three intervals old" in transition.reason
    assert not one.due(NOON + 1000, window=None)
    assert one.ran_at == NOON, "when it last ran is known all the same"


@pytest.mark.parametrize("state", ["up", "unknown"])
def test_an_old_reading_is_noticed_in_whatever_state(state: State) -> None:
    """Also where the state does not change by it: what is shown of the reading must go."""
    one = standing()
    one.note(reading(state), NOON)
    one.look(NOON, window="planned maintenance" if state == "up" else None)
    assert one.state == ("maintenance" if state == "up" else "unknown")
    assert one.due(NOON + STALE + 1, window="planned maintenance" if state == "up" else None)
    assert one.look(NOON + STALE + 1, window="planned maintenance" if state == "up" else None) is None
    assert not one.due(NOON + STALE + 2, window="planned maintenance" if state == "up" else None)


def test_a_window_hides_the_state_and_gives_it_back() -> None:
    one = standing()
    one.note(reading("up"), NOON)
    begun = one.look(NOON + 10, window="planned maintenance")
    assert begun is not None
    assert (begun.state, begun.reason, begun.at) == ("maintenance", "planned maintenance", NOON + 10)
    assert one.note(reading("down"), NOON + 60) is None
    ended = one.look(NOON + 90, window=None)
    assert ended is not None
    assert (ended.state, ended.reason, ended.at) == ("down", "it is down", NOON + 90)


def test_after_a_long_window_an_old_reading_says_nothing() -> None:
    one = standing()
    one.note(reading("up"), NOON)
    one.look(NOON + 1, window="planned maintenance")
    ended = one.look(NOON + 1000, window=None)
    assert ended is not None
    assert ended.state == "unknown"


def test_what_cannot_be_probed_says_why() -> None:
    one = standing(service(problem="the key is missing"))
    one.look(NOON + 5, window="planned maintenance")
    found = one.look(NOON + 10, window=None)
    assert found is not None
    assert (found.state, found.reason) == ("unknown", "the key is missing")


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_clock_that_is_set_makes_no_reading_older_or_younger(jump: float) -> None:
    one = standing()
    one.note(reading("up"), NOON)
    one.rebase(NOON + 10, NOON + 10 + jump)
    assert one.since == NOON + 10 + jump
    assert one.fresh(NOON + jump + STALE)
    assert not one.fresh(NOON + jump + STALE + 1)


def test_no_stretch_ends_before_it_began() -> None:
    one = standing()
    one.note(reading("up"), NOON + 10)
    found = one.note(reading("down"), NOON + 8.5)
    assert found is not None
    assert found.at == one.since == NOON + 10


def test_a_daily_pattern_is_good_for_days() -> None:
    one = standing(service(pace=Cron.parse("0 3 * * *", "Europe/Bucharest")))
    one.note(reading("up"), NOON)
    assert one.fresh(NOON + 3 * 86_400)
    assert not one.fresh(NOON + 3 * 86_400 + 6)


operations = st.lists(
    st.tuples(st.floats(0, 300), st.sampled_from(["up", "degraded", "down", "unknown", "look", "window", "no window"])),
    max_size=30,
)


@given(operations)
def test_transitions_are_ordered_and_tell_all_there_is_to_tell(found: list[tuple[float, str]]) -> None:
    """Whoever follows the transitions alone knows each state and since when; none repeats the one before."""
    one, now, windowed = standing(service(pace=Every(30.0))), NOON, False
    state, since = one.state, one.since
    for passed, word in found:
        now += passed
        if word in STATES:
            transition = one.note(reading(word), now)
        else:
            windowed = {"window": True, "no window": False}.get(word, windowed)
            window = "planned maintenance" if windowed else None
            transition = one.look(now, window=window) if one.due(now, window=window) else None
        if transition is not None:
            assert transition.state != state
            assert transition.at >= since
            state, since = transition.state, transition.at
        assert (one.state, one.since) == (state, since)
        if windowed:
            assert word in STATES or one.state == "maintenance"
        elif word == "look":
            fresh = one.reading is not None and now <= one.expires
            assert one.state == (one.reading.state if fresh and one.reading else "unknown")


@pytest.mark.parametrize("full", [pytest.param(True, id="full"), pytest.param(False, id="brief")])
def test_a_reading_keeps_what_is_shown(full: bool) -> None:  # noqa: FBT001 - a parameter
    """Its facts are kept of none, its phases and components only where they are series."""
    whole = reading(
        "degraded",
        cause="slow",
        status_code=200,
        tls_expiry=NOON,
        phases={"connect": 0.1},
        components=(Component("db", "up"),),
        facts=object(),
    )
    brief = kept(whole, full=full)
    assert brief == replace(
        whole,
        facts=None,
        phases=whole.phases if full else {},
        components=whole.components if full else (),
    )
