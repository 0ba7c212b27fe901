"""What becomes of the item of a restart after an attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from servers.backlog import new

from exporter.restarting.attempt import Attempt
from exporter.restarting.options import RestartTiming
from exporter.store.backlog_rows import BacklogItem
from exporter.worker.restart_endings import (
    IN_THE_WAY,
    LONGEST_IN_THE_WAY,
    LONGEST_LOOK,
    LONGEST_PERSON,
    LONGEST_WAIT,
    ended,
)

if TYPE_CHECKING:
    from exporter.worker.endings import Ending

NOW: Final = 1_777_636_800.0
RETRY: Final = Attempt("retry", "exit status 1")
UNVERIFIED: Final = Attempt("unverified", "restarted, but it is down: no answer")
HEALTHY: Final = Attempt("healthy", "it is up", acted=False, verified=None)
BUSY: Final = Attempt("retry", "in the way", acted=False, verified=None)


def item(attempts: int = 1, origin: str = "rule", age: float = 0.0) -> BacklogItem:
    """Return an item of so many seconds whose attempt of that number runs."""
    values: dict[str, Any] = dict.fromkeys(BacklogItem.__dataclass_fields__)
    made = new("web", queue="restarts", service="web")
    values |= {name: getattr(made, name) for name in values if hasattr(made, name)}
    values |= {"id": 1, "attempts": attempts, "origin": origin, "fence": attempts, "created_at": NOW - age}
    return BacklogItem(**values)


def timing(**changes: Any) -> RestartTiming:
    return RestartTiming(**{"attempts": 3, "delay": 2.0, "rest": 30.0} | changes)


@pytest.mark.parametrize("origin", ["rule", "alarm", "cli"])
@pytest.mark.parametrize(
    ("attempt", "state", "outcome", "wait"),
    [
        (Attempt("done", "restarted and verified", verified=True), "done", "done", 0.0),
        (Attempt("interrupted", "it is up", acted=None, verified=True), "done", "interrupted", 0.0),
        (HEALTHY, "pending", "healthy", 30.0),
        (Attempt("give_up", "there is no such unit"), "dead", "give_up", 0.0),
        (BUSY, "failed", "retry", IN_THE_WAY),
        (RETRY, "failed", "retry", 2.0),
        (UNVERIFIED, "failed", "unverified", 2.0),
        (Attempt("interrupted", "unseen; it is down", acted=None), "failed", "interrupted", 2.0),
    ],
)
def test_what_becomes_of_it(origin: str, attempt: Attempt, state: str, outcome: str, wait: float) -> None:
    """Only what was verified, or was well before, is done; unknown is not success (I7)."""
    found = ended(attempt, item(1, origin), timing(), NOW)
    assert (found.state, found.outcome, found.at - NOW) == (state, outcome, wait)
    assert found.explanation.startswith(attempt.detail)


def waits(origin: str, count: int = 7, **changes: Any) -> list[float | str]:
    found = [ended(RETRY, item(number + 1, origin), timing(**changes), NOW) for number in range(count)]
    return [one.at - NOW if one.state == "failed" else one.state for one in found]


def test_each_attempt_waits_twice_as_long_and_then_it_rests() -> None:
    """For as long as the alert fires: round after round (S3.23)."""
    assert waits("rule") == [2.0, 4.0, 30.0, 2.0, 4.0, 30.0, 2.0]
    assert waits("alarm") == waits("rule")
    assert waits("rule", 3, attempts=1) == [30.0, 30.0, 30.0]
    assert waits("rule", 3, delay=0.0, rest=0.0) == [0.0, 0.0, 0.0]


def test_what_a_person_wanted_ends_after_its_attempts() -> None:
    """Nobody waits for it; it is told which attempt was the last."""
    assert waits("cli", 3) == [2.0, 4.0, "dead"]
    assert waits("cli", 1, attempts=1) == ["dead"]
    assert ended(RETRY, item(3, "cli"), timing(), NOW).explanation == "exit status 1 (attempt 3, the last)"
    assert ended(RETRY, item(4), timing(), NOW).explanation == "exit status 1 (attempt 4)"


def test_no_wait_between_attempts_is_longer_than_an_hour() -> None:
    found = waits("rule", 100, attempts=100, delay=3600.0, rest=86_400.0)
    assert set(found[:-1]) == {LONGEST_WAIT}
    assert found[-1] == 86_400.0


def after(attempt: Attempt, age: float, **changes: Any) -> Ending:
    """Return what becomes of an item of so many seconds: the same whatever number the run has, as it was no attempt."""
    first, later = (ended(attempt, item(number, age=age), timing(**changes), NOW) for number in (1, 100))
    assert first == later
    return first


@pytest.mark.parametrize(
    ("rest", "age", "wait"),
    [
        (30.0, 0.0, 30.0),
        (30.0, 120.0, 30.0),
        (30.0, 400.0, 100.0),
        (30.0, 1200.0, LONGEST_LOOK),
        (30.0, 1e6, LONGEST_LOOK),
        (30.0, -86_400.0, 30.0),
        (0.0, 0.0, IN_THE_WAY),
        (0.0, 400.0, 100.0),
        (3600.0, 0.0, LONGEST_LOOK),
    ],
)
def test_what_is_up_is_looked_at_again_while_its_alert_fires(rest: float, age: float, wait: float) -> None:
    """Later each time, never later than five minutes: what is down again before that resolves is restarted."""
    found = after(HEALTHY, age, rest=rest)
    assert (found.state, found.at - NOW) == ("pending", wait)
    assert found.explanation == "it is up; looked at again while its alert fires"


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (0.0, IN_THE_WAY),
        (20.0, IN_THE_WAY),
        (100.0, 25.0),
        (240.0, LONGEST_IN_THE_WAY),
        (1e6, LONGEST_IN_THE_WAY),
        (-86_400.0, IN_THE_WAY),
    ],
)
def test_where_we_were_in_the_way_it_is_tried_again_soon(age: float, wait: float) -> None:
    """It is no failure of the service; later each time, as what is in the way may stay there."""
    found = after(BUSY, age)
    assert (found.state, found.at - NOW) == ("failed", wait)


@pytest.mark.parametrize(("age", "state"), [(0.0, "failed"), (LONGEST_PERSON, "failed"), (LONGEST_PERSON + 1, "dead")])
def test_a_person_does_not_wait_for_ever_for_what_is_in_the_way(age: float, state: str) -> None:
    """Who wanted it is told, instead of a restart much later; what something wrong led to is tried on."""
    assert ended(BUSY, item(origin="cli", age=age), timing(), NOW).state == state
    assert ended(BUSY, item(origin="alarm", age=age), timing(), NOW).state == "failed"
