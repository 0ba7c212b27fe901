"""Sums and ratios agree with a walk over seconds on random histories, whatever the clock does."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import STATES, State
from exporter.uptime import DAY, HOUR, KEPT, WINDOWS, History, Stretch, period, ratio, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

END = 400
"""Seconds of the random histories."""
SCALE = KEPT / END
"""Seconds of real time that one of them stands for where the windows of a History are meant."""

Event = tuple[int, State | None]


def timeline(events: Sequence[Event], until: int = END) -> list[State | None]:
    """Return the state of each second: each event is the last word on all that follows it."""
    states: list[State | None] = [None] * until
    for at, state in events:
        states[at:] = [state] * (until - at)
    return states


events = st.lists(st.tuples(st.integers(0, END), st.sampled_from([*STATES, None])), max_size=12)
ordered = events.map(lambda found: sorted(found, key=lambda event: event[0]))


@pytest.mark.parametrize(
    ("stretches", "since", "until", "expected"),
    [
        pytest.param([], 0, 100, {}, id="nothing"),
        pytest.param([Stretch("up", 10, 30)], 0, 100, {"up": 20}, id="inside"),
        pytest.param([Stretch("up", -50, 30)], 0, 100, {"up": 30}, id="begun before"),
        pytest.param([Stretch("up", 10)], 0, 100, {"up": 90}, id="lasts"),
        pytest.param([Stretch("up", 10, 300)], 0, 100, {"up": 90}, id="ends later"),
        pytest.param([Stretch("up", 200)], 0, 100, {}, id="begins later"),
        pytest.param([Stretch("up", -20, -10)], 0, 100, {}, id="over before"),
        pytest.param([Stretch("up", 60, 40), Stretch("down", 40, 50)], 0, 100, {"down": 10}, id="ends before it began"),
        pytest.param([Stretch("up", 0, 10), Stretch("down", 10, 20), Stretch("up", 20)], 5, 25,
                     {"up": 10, "down": 10}, id="a state twice"),
        pytest.param([Stretch("up", 0, 10)], 100, 0, {}, id="a time backwards"),
    ],
)  # fmt: skip
def test_seconds_are_cut_to_the_time(
    stretches: list[Stretch], since: float, until: float, expected: dict[State, float]
) -> None:
    assert seconds(stretches, since, until) == expected


@given(ordered, st.integers(0, END), st.integers(0, END))
def test_seconds_agree_with_a_walk_over_seconds(found: list[Event], since: int, until: int) -> None:
    stretches = [Stretch(state, at, after) for (at, state), (after, _) in pairwise([*found, (END, None)]) if state]
    walked = timeline(found)[since:until]
    assert seconds(stretches, since, until) == {state: walked.count(state) for state in STATES if state in walked}


@pytest.mark.parametrize(
    ("lasted", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"maintenance": 10, "unknown": 5}, None, id="nothing observed"),
        pytest.param({"up": 10}, 1.0, id="up"),
        pytest.param({"degraded": 10}, 1.0, id="degraded is at work"),
        pytest.param({"down": 10}, 0.0, id="down"),
        pytest.param({"up": 2, "degraded": 1, "down": 1, "maintenance": 100, "unknown": 100}, 0.75, id="all"),
    ],
)
def test_a_ratio_is_of_what_was_observed(lasted: dict[State, float], expected: float | None) -> None:
    assert ratio(lasted) == expected


def reference(events: Sequence[Event], now: int) -> dict[str, float]:
    """Return the ratio of each window by walking over the seconds of a history that is SCALE times as long."""
    found = {}
    for name, length in WINDOWS.items():
        good = observed = 0.0
        for second, state in enumerate(timeline(events, now)):
            share = min(1.0, max(0.0, (second + 1 - (now - length / SCALE))))
            good += share * (state in {"up", "degraded"})
            observed += share * (state in {"up", "degraded", "down"})
        if observed > 0:
            found[name] = good / observed
    return found


def told(events: Sequence[Event]) -> History:
    history = History()
    for at, state in events:
        if state is None:
            history.close(at * SCALE)
        else:
            history.became(state, at * SCALE)
    return history


@given(events, st.integers(1, END))
def test_ratios_agree_with_a_walk_over_seconds_also_when_the_clock_goes_back(found: list[Event], now: int) -> None:
    assert told(found).ratios(now * SCALE) == pytest.approx(reference(found, now), abs=1e-6)


@given(ordered)
def test_a_history_read_from_stretches_has_the_same_ratios(found: list[Event]) -> None:
    following = [at * SCALE for at, _ in found[1:]]
    stretches = [
        Stretch(state, at * SCALE, ended)
        for (at, state), ended in zip(found, [*following, None], strict=False)
        if state
    ]
    for now in (END / 3, END):
        expected = {
            name: share
            for name, length in WINDOWS.items()
            if (share := ratio(seconds(stretches, now * SCALE - length, now * SCALE))) is not None
        }
        assert History(stretches).ratios(now * SCALE) == pytest.approx(expected, abs=1e-9)


def test_the_window_of_an_hour_is_exact_over_many_changes() -> None:
    history = History()
    for minute in range(0, 10_000, 10):
        history.became("up", minute * 60.0)
        history.became("down", minute * 60.0 + 540)
    assert history.ratios(600_000.0) == pytest.approx({"1h": 0.9, "24h": 0.9, "7d": 0.9, "30d": 0.9, "90d": 0.9})


def test_what_was_always_up_is_one_and_never_more() -> None:
    history = History()
    for index in range(1000):
        history.became("up" if index % 2 else "degraded", 1.7e9 + index * 0.1)
    assert set(history.ratios(1.7e9 + 100.0).values()) == {1.0}


def test_maintenance_and_our_own_downtime_are_left_out() -> None:
    history = History()
    for hour, state in enumerate(("up", "maintenance", "unknown", "down")):
        history.became(state, hour * HOUR)
    history.close(4 * HOUR)
    assert history.ratios(10 * HOUR) == {"24h": 0.5, "7d": 0.5, "30d": 0.5, "90d": 0.5}


def test_a_stretch_that_would_end_before_it_began_counts_nothing() -> None:
    history = History([Stretch("up", 0, 100), Stretch("down", 1000)])
    history.became("up", 100.0)  # the clock was set back by 900 s
    assert history.ratios(300.0) == {"1h": 1.0, "24h": 1.0, "7d": 1.0, "30d": 1.0, "90d": 1.0}
    assert (history.state, history.since) == ("up", 100.0)


def test_a_clock_that_was_far_ahead_does_not_stop_the_count() -> None:
    history = History([Stretch("up", 4e9, 4e9 + 10), Stretch("down", 4e9 + 10)])
    history.became("up", 1.7e9)
    history.became("down", 1.7e9 + 1800)
    assert history.ratios(1.7e9 + HOUR)["1h"] == 0.5


def test_the_same_state_again_goes_on() -> None:
    history = History()
    for at in (0.0, 60.0, 120.0):
        history.became("up", at)
    assert (len(history), history.since) == (1, 0.0)


def test_what_is_older_than_the_longest_window_is_dropped_and_no_ratio_changes() -> None:
    history = History()
    count = 365 * 24
    for hour in range(count):
        history.became("down" if hour % 4 == 0 else "up", hour * HOUR)
    assert len(history) <= 2 * (KEPT / HOUR) + 100
    assert history.ratios(count * HOUR) == pytest.approx(dict.fromkeys(WINDOWS, 0.75), abs=0.25)
    assert history.ratios(count * HOUR)["90d"] == pytest.approx(0.75, abs=1e-6)


@pytest.mark.parametrize(
    ("began", "ended", "hours"),
    [
        pytest.param("2026-03-29T00:00", "2026-03-30T00:00", 23, id="a day that lost an hour"),
        pytest.param("2026-10-25T00:00", "2026-10-26T00:00", 25, id="a day that gained an hour"),
    ],
)
def test_ratios_are_of_elapsed_seconds_over_a_change_of_clocks(began: str, ended: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Bucharest")
    first, last = (datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() for text in (began, ended))
    assert seconds([Stretch("up", first, last)], 0, 4e9) == {"up": hours * HOUR}
    history = History(
        [Stretch("down", first - DAY, first), Stretch("up", first, last - HOUR), Stretch("down", last - HOUR)]
    )
    assert history.ratios(last)["7d"] == pytest.approx((hours - 1) / (hours + 24))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[pytest.param(text, length, id=text) for text, length in WINDOWS.items()],
        pytest.param("2h", 7200.0, id="2h"),
        pytest.param("365d", 365 * DAY, id="the longest in days"),
        pytest.param("8760h", 365 * DAY, id="the longest in hours"),
    ],
)
def test_a_period_is_read(text: str, expected: float) -> None:
    assert period(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "0d", "366d", "8761h", "99999999999h", "1w", "1.5h", "-1d", "1 d", "d", "1h\n", "٣d", "01h", "1D", "h" * 999],
)
def test_another_period_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a period of hours or days up to 365d") as raised:
        period(text)
    assert len(str(raised.value)) < 200
