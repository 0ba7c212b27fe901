"""Whether a service may be restarted: by the first reason that speaks against it, in an order that is held."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from exporter.budgets import Begun, Budget, Fleet, FleetBreaker
from exporter.circuit import CLOSED, Circuit, Key, Limits
from exporter.model import HOLDS
from exporter.restarting.options import RestartTiming
from exporter.restarting.strategy import Restartable, Strategy
from exporter.worker.gate import MODE_AGAIN, WINDOW_AGAIN, Facts, Go, Held
from exporter.worker.restart_gate import (
    AGAIN,
    ALARM_OVER,
    BUSY_AGAIN,
    LONGEST_FLEET_AGAIN,
    NOT_READ,
    REASONS,
    Asked,
    Situation,
    decided,
    keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW: Final = 1_777_636_800.0
"""By our clock."""
THERE: Final = NOW + 7.0
"""The same moment by the clock of leases and circuits."""
WEB: Final = Strategy("web", "front", "command", None, RestartTiming(), Limits(3, 300.0))
API: Final = Strategy("api", "front", "command", None, RestartTiming(), Limits(3, 300.0))
TERMS: Final = Restartable(
    {"web": WEB, "api": API},
    {"web": ("db",), "api": (), "db": ()},
    {},
    {"front": Limits(5, 300.0)},
    (),
    None,
    Fleet({"web": "front", "api": "front"}, {"web": ("db",)}),
    "here",
)
OPEN: Final = Circuit(3, 1, THERE - 100, THERE + 200)
HALF: Final = Circuit(3, 1, THERE - 400, THERE - 100)
OWN, GROUP = Key("service", "web"), Key("group", "front")


def facts(**changes: Any) -> Facts:
    return Facts(**{"now": NOW, "modes": ("auto",)} | changes)


class Case:
    """What is asked, and all that is known: reasons are added to it."""

    def __init__(self, reasons: Iterable[str] = ()) -> None:
        self.facts: dict[str, Any] = {}
        self.asked: dict[str, Any] = {}
        self.known: dict[str, Any] = {}
        self.terms: dict[str, Any] = {}
        for reason in reasons:
            WHY[reason](self)

    def verdict(self) -> Go | Held:
        asked = Asked(**{"item": 1, "facts": facts(**self.facts)} | self.asked)
        return decided(asked, WEB, replace(TERMS, **self.terms), Situation(**{"now": THERE} | self.known))


WHY: Final[dict[str, Any]] = {
    "resolved": lambda case: case.facts.update(incident="resolved"),
    "mode": lambda case: case.facts.update(modes=("observe",)),
    "window": lambda case: case.facts.update(window="upgrade until noon"),
    "silenced": lambda case: case.facts.update(silence="ann silenced it"),
    "settled": lambda case: case.known.update(verified={"web": 8}),
    "circuit": lambda case: case.known.update(circuits={OWN: OPEN}),
    "dependency": lambda case: case.known.update(down={"db": "no answer"}),
    "budget": lambda case: (
        case.terms.update(budgets=(Budget("all", 1, 600.0),)),
        case.known.update(begun=[Begun(THERE - 100, "api", "front")]),
    ),
    "fleet": lambda case: (
        case.terms.update(breaker=FleetBreaker(1, 0.1)),
        case.known.update(failing=frozenset({"web"})),
    ),
    "busy": lambda case: case.known.update(running={"web": 9}),
}
"""One way in which each reason speaks."""

TOLD: Final[dict[str, tuple[str | None, str, float | None]]] = {
    "resolved": ("resolved", "its alert has resolved, so nothing is done for it any more", None),
    "mode": ("mode", "`mode` is observe: nothing is run until that changes", NOW + MODE_AGAIN),
    "window": ("window", "upgrade until noon", NOW + WINDOW_AGAIN),
    "silenced": ("silenced", "ann silenced it", NOW + WINDOW_AGAIN),
    "settled": (None, "it was restarted and verified for another item meanwhile", None),
    "circuit": ("circuit", "the circuit of web is open after 3 failures: one trial from 12:03:27 UTC", NOW + 200),
    "dependency": ("dependency", "db, which it needs, is down: no answer", NOW + AGAIN),
    "budget": (
        "budget",
        "1 restart of all services began within 600 s, of a budget of 1: more from 12:08:27 UTC",
        NOW + 500,
    ),
    "fleet": (
        "fleet",
        (
            "1 of 2 services are failing at once, which is more than the 10% of `fleet_breaker`: nothing is restarted, "
            "look for what they have in common"
        ),
        NOW + AGAIN,
    ),
    "busy": ("busy", "it is being restarted just now (item 9)", NOW + BUSY_AGAIN),
}
"""What is told of each, and when it is looked at again by our clock, whatever the clock of the store says.

Times in sentences are those of the store's clock.
"""


def told(verdict: Go | Held) -> tuple[str | None, str, float | None]:
    assert isinstance(verdict, Held)
    return verdict.hold, verdict.sentence, verdict.look_again_at


def test_every_reason_has_a_row() -> None:
    assert tuple(WHY) == tuple(TOLD) == REASONS
    assert {hold for hold, _, _ in TOLD.values() if hold is not None} < set(HOLDS)


def test_where_nothing_speaks_against_it_it_begins() -> None:
    assert Case().verdict() == Go()


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_holds_with_its_word_and_its_sentence(reason: str) -> None:
    assert told(Case([reason]).verdict()) == TOLD[reason]


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(REASONS, 2)))
def test_when_two_speak_the_earlier_is_told(earlier: str, later: str) -> None:
    assert told(Case([later, earlier]).verdict()) == TOLD[earlier]


def test_when_all_speak_the_first_is_told_and_each_that_ends_gives_way_to_the_next() -> None:
    for place, reason in enumerate(REASONS):
        assert told(Case(REASONS[place:]).verdict()) == TOLD[reason]


@pytest.mark.parametrize("reason", REASONS)
def test_what_holds_for_a_person_as_well(reason: str) -> None:
    """Whoever wants it restarted wants it all the same when it was just restarted, or when much is failing."""
    case = Case([reason])
    case.asked["by_person"] = True
    verdict = case.verdict()
    assert (verdict == Go()) == (reason in {"settled", "fleet"})


@pytest.mark.parametrize(
    ("stands", "expected"),
    [
        (True, None),
        (False, ("resolved", ALARM_OVER, None)),
        (None, ("resolved", NOT_READ, NOW + AGAIN)),
    ],
)
def test_the_alarm_that_led_to_it(stands: Any, expected: Any) -> None:
    """For one that is over nothing is done any more; one that cannot be read is looked at again."""
    case = Case()
    case.asked["stands"] = stands
    verdict = case.verdict()
    assert (None if verdict == Go() else told(verdict)) == expected


@pytest.mark.parametrize("stands", [False, None])
@pytest.mark.parametrize("later", REASONS)
def test_an_alarm_that_is_over_is_told_first_as_an_alert_that_has_resolved(later: str, *, stands: bool | None) -> None:
    """It is cancelled, and does not wait for a window or a person that have nothing to do with it any more."""
    case = Case([later])
    case.asked["stands"] = stands
    assert told(case.verdict()) == (
        ("resolved", NOT_READ, NOW + AGAIN) if stands is None else ("resolved", ALARM_OVER, None)
    )


@pytest.mark.parametrize(
    ("item", "settled"), [(1, True), (7, True), (8, True), (9, False), (2**40, False), (-1, False), (-8, False)]
)
def test_settled_is_what_was_there_when_it_was_last_restarted_so_that_it_helped(item: int, *, settled: bool) -> None:
    """What came after that is restarted again, and so is what is not made yet; another service's says nothing."""
    case = Case(["settled"])
    case.asked["item"] = item
    assert (case.verdict() != Go()) == settled
    case.known["verified"] = {"api": 2**40}
    assert case.verdict() == Go()


@pytest.mark.parametrize(("count", "wait"), [(1, AGAIN), (100, AGAIN), (400, 20.0), (10_000, LONGEST_FLEET_AGAIN)])
def test_the_more_fails_at_once_the_later_it_is_looked_at_again(count: int, wait: float) -> None:
    """Each of them looks, at all of them."""
    case = Case(["fleet"])
    case.known["failing"] = frozenset({"web", *(f"s{number}" for number in range(count - 1))})
    assert told(case.verdict())[2] == NOW + wait


CIRCUITS = [
    pytest.param({}, None, id="none"),
    pytest.param({OWN: CLOSED}, None, id="closed"),
    pytest.param({OWN: Circuit(2)}, None, id="closed with failures"),
    pytest.param({OWN: HALF}, None, id="half-open"),
    pytest.param({OWN: HALF, GROUP: HALF}, None, id="both half-open"),
    pytest.param({OWN: replace(HALF, trial=9)}, None, id="a trial that does not run any more"),
    pytest.param({OWN: replace(HALF, trial=5)}, "half-open, and its one trial is under way (item 5)", id="a trial"),
    pytest.param({GROUP: replace(HALF, trial=5)}, "circuit of the group front is half-open", id="a trial of the group"),
    pytest.param({GROUP: OPEN}, "the circuit of the group front is open after 3 failures", id="the group's"),
    pytest.param({OWN: HALF, GROUP: OPEN}, "the group front is open", id="the group's, and its own is half-open"),
    pytest.param({Key("service", "api"): OPEN, Key("group", "web"): OPEN}, None, id="others'"),
]


@pytest.mark.parametrize(("known", "why"), CIRCUITS)
def test_circuits_of_the_service_and_of_its_group(known: dict[Key, Circuit], why: str | None) -> None:
    """Each must let it through; a trial whose item does not run is none."""
    case = Case()
    case.known.update(circuits=known, running={"api": 5})
    verdict = case.verdict()
    assert (None if verdict == Go() else told(verdict)[0]) == (None if why is None else "circuit")
    if why is not None:
        assert why in told(verdict)[1]


def asked(item: int) -> Asked:
    return Asked(item, facts())


def test_of_nine_that_ask_at_once_one_is_the_trial() -> None:
    """Of the group as well: what begins is seen by who asks next, and what changed is known (I4)."""
    situation = Situation(THERE, circuits={GROUP: HALF})
    let = []
    for item in range(1, 10):
        strategy = (WEB, API)[item % 2]
        verdict = decided(asked(item), strategy, TERMS, situation)
        if isinstance(verdict, Go):
            let.append(item)
            situation.begin(item, strategy)
        else:
            assert "its one trial is under way (item 1)" in verdict.sentence
            assert verdict.look_again_at is not None
            assert verdict.look_again_at > NOW
    assert let == [1]
    assert situation.changed == {GROUP}
    assert situation.circuits[GROUP] == replace(HALF, trial=1)


def test_what_begins_is_running_and_counts_in_budgets_at_once() -> None:
    """Two items of one service, or two services of one budget, are decided one after the other."""
    situation = Situation(THERE)
    terms = replace(TERMS, budgets=(Budget("group", 1, 600.0),))
    situation.begin(1, WEB)
    assert situation.changed == set()
    assert told(decided(asked(2), WEB, TERMS, situation))[0] == "busy"
    assert decided(asked(2), API, TERMS, situation) == Go()
    assert told(decided(asked(2), API, terms, situation))[0] == "budget"


def test_a_parent_that_is_to_be_mended_holds_its_child_and_not_the_other_way_round() -> None:
    situation = Situation(THERE, waiting={"db": "its own restart waits", "web": "its own restart waits"})
    assert told(decided(asked(1), WEB, TERMS, situation)) == (
        "dependency",
        "db, which it needs, is mended first: its own restart waits",
        NOW + AGAIN,
    )
    assert decided(asked(1), API, TERMS, situation) == Go()


def test_a_service_without_a_group_has_one_circuit() -> None:
    assert keys(WEB) == ((OWN, "web"), (GROUP, "the group front"))
    assert keys(replace(WEB, group=None)) == ((OWN, "web"),)
