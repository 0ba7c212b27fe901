"""Codes are judged by decision 4, the worse verdict wins, and slowness makes an up reading degraded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Component, Reading, State
from exporter.verdict import MOST_COMPONENTS, Verdict, of_code, slowed, worse
from exporter.verdict.judgement import gathered

STATES = ("up", "degraded", "down")


@pytest.mark.parametrize(
    ("code", "expected", "state"),
    [
        *[pytest.param(code, None, "up", id=f"{code} is up") for code in (200, 201, 204, 226, 299)],
        *[pytest.param(code, None, "degraded", id=f"{code} is degraded") for code in (300, 301, 302, 304, 308, 399)],
        *[pytest.param(code, None, "degraded", id=f"{code} is degraded") for code in (400, 401, 404, 429, 499)],
        *[pytest.param(code, None, "down", id=f"{code} is down") for code in (500, 502, 503, 504, 599, 600, 999)],
        *[pytest.param(code, None, "degraded", id=f"{code} is no final answer") for code in (0, 100, 101, 199)],
        pytest.param(200, 200, "up", id="200 as expected"),
        pytest.param(301, 301, "up", id="a redirect as expected"),
        pytest.param(401, 401, "up", id="a refusal as expected"),
        pytest.param(503, 503, "up", id="an error as expected"),
        pytest.param(204, 200, "degraded", id="another success than expected"),
        pytest.param(200, 204, "degraded", id="200 where 204 is expected"),
        pytest.param(302, 200, "degraded", id="a redirect where 200 is expected"),
        pytest.param(429, 200, "degraded", id="429 where 200 is expected"),
        pytest.param(499, 200, "degraded", id="499 where 200 is expected"),
        pytest.param(500, 200, "down", id="500 where 200 is expected"),
        pytest.param(503, 500, "down", id="503 where 500 is expected"),
    ],
)
def test_a_code_has_its_state(code: int, expected: int | None, state: State) -> None:
    verdict = of_code(code, expected)
    assert verdict.state == state
    assert verdict.cause == ("" if state == "up" else "status")
    assert str(code) in verdict.reason
    assert verdict.components == ()


@pytest.mark.parametrize(
    ("code", "expected", "reason"),
    [
        pytest.param(200, None, "the answer is 200 OK", id="up"),
        pytest.param(301, None, "the answer is 301 Moved Permanently, a redirect that is not followed", id="redirect"),
        pytest.param(404, 200, "the answer is 404 Not Found, not 200 OK", id="not the expected one"),
        pytest.param(799, None, "the answer is 799", id="a code without a name"),
    ],
)
def test_the_reason_says_what_was_answered(code: int, expected: int | None, reason: str) -> None:
    assert of_code(code, expected).reason == reason


def test_every_code_without_an_expected_one_follows_the_bands() -> None:
    for code in range(1000):
        band = "up" if 200 <= code < 300 else "degraded" if code < 500 else "down"
        assert of_code(code, None).state == band


@pytest.mark.parametrize(
    ("code", "word", "state"),
    [
        pytest.param("up", "up", "up", id="both up"),
        pytest.param("up", "degraded", "degraded", id="200 with degraded"),
        pytest.param("up", "down", "down", id="200 with unhealthy"),
        pytest.param("degraded", "up", "degraded", id="429 with ok"),
        pytest.param("degraded", "down", "down", id="429 with unhealthy"),
        pytest.param("down", "up", "down", id="503 with ok"),
        pytest.param("down", "degraded", "down", id="503 with degraded"),
        pytest.param("unknown", "up", "up", id="unknown counts for nothing"),
        pytest.param("maintenance", "up", "up", id="maintenance is no fault"),
    ],
)
def test_the_worse_state_wins_with_its_reason(code: State, word: State, state: State) -> None:
    first, second = Verdict(code, "the first", "status"), Verdict(word, "the second", "health")
    found = worse(first, second)
    assert found.state == state
    assert found is (first if first.state == state else second)
    assert worse(second, first).state == state


def test_the_components_of_all_are_kept_and_the_worse_state_of_each() -> None:
    first = Verdict("down", "it says so", "status")
    second = Verdict("degraded", "b", "health", gathered([("db", "up"), ("cache", "degraded")]))
    third = Verdict("up", "c", "", gathered([("db", "degraded"), ("queue", "up")]))
    assert worse(first, second, third) == Verdict(
        "down",
        "it says so",
        "status",
        (Component("cache", "degraded"), Component("db", "degraded"), Component("queue", "up")),
    )


def test_of_too_many_components_the_worst_are_kept() -> None:
    named: list[tuple[str, State]] = [(f"c{number:03}", "up") for number in range(200)]
    kept = gathered([*named, ("z", "down"), ("y", "degraded")])
    assert len(kept) == MOST_COMPONENTS
    assert kept[:3] == (Component("z", "down"), Component("y", "degraded"), Component("c000", "up"))


components = st.lists(
    st.tuples(st.sampled_from([f"c{number}" for number in range(70)]), st.sampled_from(STATES)), max_size=70
).map(gathered)
verdicts = st.builds(Verdict, st.sampled_from(STATES), st.text("abc", max_size=3), st.just("health"), components)


@given(verdicts, verdicts, verdicts)
def test_worse_is_commutative_in_state_associative_and_idempotent(one: Verdict, two: Verdict, three: Verdict) -> None:
    assert worse(one, one) == one
    assert (worse(one, two).state, worse(one, two).components) == (worse(two, one).state, worse(two, one).components)
    assert worse(worse(one, two), three) == worse(one, worse(two, three)) == worse(one, two, three)


@pytest.mark.parametrize(
    ("state", "duration", "slow_after", "expected"),
    [
        pytest.param("up", 2.001, 2.0, "degraded", id="slower"),
        pytest.param("up", 2.0, 2.0, "up", id="just in time"),
        pytest.param("up", 0.1, 2.0, "up", id="quick"),
        pytest.param("up", 999.0, None, "up", id="slowness is no fault"),
        pytest.param("degraded", 9.0, 2.0, "degraded", id="degraded already"),
        pytest.param("down", 9.0, 2.0, "down", id="down stays down"),
        pytest.param("unknown", 9.0, 2.0, "unknown", id="unknown stays unknown"),
        pytest.param("up", float("nan"), 2.0, "up", id="no duration"),
    ],
)
def test_only_an_up_reading_that_took_longer_becomes_degraded(
    state: State, duration: float, slow_after: float | None, expected: State
) -> None:
    reading = Reading(state, "200 OK", duration, status_code=200)
    found = slowed(reading, slow_after)
    assert found.state == expected
    if expected == state:
        assert found is reading
    else:
        assert (found.cause, found.status_code, found.duration) == ("slow", 200, duration)
        assert found.reason == "slow: 2.001 s, more than 2 s; 200 OK"
