"""How many restarts may begin in a time, and when so much fails that none may."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.budgets import Begun, Budget, Fleet, FleetBreaker, spent, tripped

NOON: Final = 1_777_636_800.0


def begun(*ago: float, service: str = "web", group: str | None = "front") -> list[Begun]:
    """Return restarts that began so many seconds before noon."""
    return [Begun(NOON - seconds, service, group) for seconds in ago]


def again(budgets: list[Budget], found: list[Begun], service: str = "web", group: str | None = "front") -> float | None:
    """Return in how many seconds after noon there is some again, None where there is some now."""
    one = spent(budgets, found, service, group, NOON)
    return None if one is None else one.look_again_at - NOON


THREE: Final = Budget("service", 3, 600.0)


@pytest.mark.parametrize(
    ("ago", "seconds"),
    [
        ((), None),
        ((1, 2), None),
        ((1, 2, 3), 597.0),
        ((599.5, 2, 3), 0.5),
        ((600, 2, 3), None),
        ((0, 0, 0), 600.0),
        ((1, 2, 3, 4, 5), 597.0),
        ((500, 400, 300, 200, 100), 300.0),
        ((-5, 1, 2), 598.0),
    ],
)
def test_a_budget_is_spent_for_as_long_as_too_many_are_young(ago: tuple[float, ...], seconds: float | None) -> None:
    """One counts until it is as old as the budget's time; of more than the budget the oldest count no longer."""
    assert again([THREE], begun(*ago)) == seconds


@given(st.lists(st.integers(0, 700), max_size=8), st.integers(1, 4))
def test_when_it_is_to_be_looked_at_again_there_is_some_and_not_before(ago: list[int], restarts: int) -> None:
    budget = Budget("all", restarts, 600.0)
    found = begun(*ago)
    one = spent([budget], found, "web", None, NOON)
    young = [seconds for seconds in ago if seconds < 600]
    assert (one is None) == (len(young) < restarts)
    if one is not None:
        assert spent([budget], found, "web", None, one.look_again_at) is None
        assert spent([budget], found, "web", None, one.look_again_at - 0.5) is not None


def test_each_service_each_group_or_all() -> None:
    """What is counted is what has the same name; who is in no group is in no budget of groups."""
    others = begun(1, 2, 3, service="api")
    assert again([THREE], others) is None
    assert again([Budget("group", 3, 600.0)], others) == 597.0
    assert again([Budget("group", 3, 600.0)], others, group="back") is None
    assert again([Budget("group", 3, 600.0)], begun(1, 2, 3, group=None), group=None) is None
    assert again([Budget("all", 3, 600.0)], begun(1, 2, 3, service="x", group=None), group="back") == 597.0


@pytest.mark.parametrize(
    ("scope", "names", "seconds"),
    [
        ("service", {"web"}, 599.0),
        ("service", {"api", "front"}, None),
        ("group", {"front"}, 599.0),
        ("group", {"back", "web"}, None),
    ],
)
def test_only_those_that_are_named(scope: Any, names: set[str], seconds: float | None) -> None:
    assert again([Budget(scope, 1, 600.0, frozenset(names))], begun(1)) == seconds


def test_of_several_the_one_that_is_spent_for_longest_is_told() -> None:
    """Each of them holds."""
    budgets = [Budget("service", 1, 60.0), Budget("all", 2, 3600.0), Budget("group", 1, 600.0)]
    found = begun(10)
    one = spent(budgets, found, "web", "front", NOON)
    assert one is not None
    assert one.sentence == "1 restart of the group front began within 600 s, of a budget of 1: more from 12:09:50 UTC"
    assert one.look_again_at == NOON + 590
    assert again(budgets, [*found, *begun(5, service="api", group=None)]) == 3590.0
    assert again([], found) is None


SENTENCES = [
    pytest.param("service", "3 restarts of web", id="service"),
    pytest.param("group", "3 restarts of the group front", id="group"),
    pytest.param("all", "3 restarts of all services", id="all"),
]


@pytest.mark.parametrize(("scope", "sentence"), SENTENCES)
def test_the_sentence_says_whose(scope: Any, sentence: str) -> None:
    one = spent([Budget(scope, 3, 600.0)], begun(1, 2, 3), "web", "front", NOON)
    assert one is not None
    assert one.sentence == f"{sentence} began within 600 s, of a budget of 3: more from 12:09:57 UTC"


TEN: Final = [f"s{number}" for number in range(10)]
BREAKER: Final = FleetBreaker(3, 0.5)


def fleet(**parents: tuple[str, ...]) -> Fleet:
    """Return ten services in five groups of two."""
    return Fleet({name: f"g{place // 2}" for place, name in enumerate(TEN)}, dict.fromkeys(TEN, ()) | parents)


@pytest.mark.parametrize(
    ("breaker", "failing", "holds"),
    [
        (BREAKER, 5, False),
        (BREAKER, 6, True),
        (BREAKER, 10, True),
        (FleetBreaker(7, 0.5), 6, False),
        (FleetBreaker(7, 0.5), 7, True),
        (FleetBreaker(1, 0.0), 0, False),
        (FleetBreaker(1, 0.0), 1, True),
        (FleetBreaker(1, 1.0), 10, False),
        (None, 10, False),
    ],
)
def test_it_holds_while_more_than_the_share_is_failing(
    breaker: FleetBreaker | None, failing: int, *, holds: bool
) -> None:
    """And at least so many; exactly the share is not more."""
    assert (tripped(breaker, fleet(), TEN[:failing]) is not None) == holds


def test_what_hangs_on_another_that_fails_counts_not() -> None:
    """One that broke with nine that need it is one; a parent that is well counts for nothing."""
    hung = fleet(**dict.fromkeys(TEN[1:], (TEN[0],)))
    assert tripped(FleetBreaker(2, 0.0), hung, TEN) is None
    assert tripped(FleetBreaker(1, 0.0), hung, TEN) is not None
    assert tripped(FleetBreaker(2, 0.0), hung, TEN[1:]) is not None


def test_groups_of_which_one_is_failing() -> None:
    """However many of a group fail, it is one; services without a group are in none."""
    breaker = FleetBreaker(2, 0.5, "groups")
    assert tripped(breaker, fleet(), TEN[:4]) is None
    assert tripped(breaker, fleet(), TEN[:6]) is not None
    assert tripped(breaker, fleet(), TEN[::4]) is not None
    assert tripped(breaker, Fleet(dict.fromkeys(TEN), {}), TEN) is None


def test_a_service_that_cannot_be_restarted_counts_nowhere() -> None:
    assert tripped(FleetBreaker(1, 0.0), fleet(), ["gone"]) is None


def test_the_sentence_says_how_much() -> None:
    assert tripped(BREAKER, fleet(), TEN[:6]) == (
        "6 of 10 services are failing at once, which is more than the 50% of `fleet_breaker`: nothing is restarted, "
        "look for what they have in common"
    )
