"""Whether a service may be restarted now. Pure: asked for each item in the transaction that takes the lease.

The order of `REASONS` is the order of the decisions: the first that speaks against it is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter import budgets, circuit, order
from exporter.budgets import Begun
from exporter.circuit import CLOSED, Circuit, Key
from exporter.order import Troubles
from exporter.worker.gate import Go, Held, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.restarting.strategy import Restartable, Strategy
    from exporter.worker.gate import Facts

REASONS: Final = (
    "resolved",
    "mode",
    "window",
    "silenced",
    "settled",
    "circuit",
    "dependency",
    "budget",
    "fleet",
    "busy",
)
"""What may speak against a restart, in the order in which it is asked; `settled`: it was restarted meanwhile."""

AGAIN: Final = 5.0
"""Seconds after which it is looked at again whether a parent is well, the fleet is, or an alarm can be read."""
FLEET_AGAIN: Final = 0.05
"""Seconds for each failing service after which it is looked at again whether so much fails still."""
LONGEST_FLEET_AGAIN: Final = 60.0
BUSY_AGAIN: Final = 15.0
"""The same where another run is under way: its end makes what waits for it due at once."""

NOT_READ: Final = "whether its alarm still stands cannot be read: see the log for why"
ALARM_OVER: Final = "its alarm no longer stands, so nothing is done for it any more"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: an item, as the gate knows it; a number below 0 stands for one that is not made yet.

    `by_person` says that a person wants it, whatever the alerts say; `stands` is whether the alarm that led to it
    still does, None where that cannot be known, True for everything else.
    """

    item: int
    facts: Facts
    by_person: bool = False
    stands: bool | None = True


@dataclass(slots=True)
class Situation:
    """What is known when it is decided, and what was decided since. `now` is by the clock of leases and circuits.

    `running` has the item that restarts a service just now; `verified` the newest item of all when a service was last
    restarted so that it helped; `failing` those that were to be restarted of late; `waiting` those that are to be, or
    are being restarted, each with the reason; `down` those that a look has just found down.
    """

    now: float
    running: dict[str, int] = field(default_factory=dict)
    circuits: dict[Key, Circuit] = field(default_factory=dict)
    begun: list[Begun] = field(default_factory=list)
    verified: Mapping[str, int] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    waiting: Mapping[str, str] = field(default_factory=dict)
    down: Mapping[str, str] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    _fleet: list[str | None] = field(default_factory=list)

    def fleet(self, terms: Restartable) -> str | None:
        """Return why so much is failing that nothing is restarted; found out once, for all that is asked for."""
        if not self._fleet:
            self._fleet.append(budgets.tripped(terms.breaker, terms.fleet, self.failing))
        return self._fleet[0]

    def begin(self, item: int, strategy: Strategy) -> None:
        """Note that an item begins: what is asked about next sees it run."""
        self.running[strategy.service] = item
        self.begun.append(Begun(self.now, strategy.service, strategy.group))
        for key, _ in keys(strategy):
            before = self.circuit(key)
            after = circuit.tried(before, item, self.now)
            if after != before:
                self.circuits[key] = after
                self.changed.add(key)

    def circuit(self, key: Key) -> Circuit:
        """Return a circuit; a trial whose item does not run any more is none."""
        found = self.circuits.get(key, CLOSED)
        if found.trial is not None and found.trial not in self.running.values():
            return circuit.dropped(found, found.trial)
        return found


def keys(strategy: Strategy) -> tuple[tuple[Key, str], ...]:
    """Return the circuits that a restart passes, with what they are called."""
    own = (Key("service", strategy.service), strategy.service)
    return (own,) if strategy.group is None else (own, (Key("group", strategy.group), f"the group {strategy.group}"))


def decided(asked: Asked, strategy: Strategy, terms: Restartable, situation: Situation) -> Go | Held:
    """Return whether a service may be restarted for an item, by the first reason that speaks against it."""
    if (over := _alarm(asked)) is not None:
        return over
    verdict = judged(asked.facts)
    if isinstance(verdict, Held):
        return verdict
    for reason in _REASONS:
        held = reason(asked, strategy, terms, situation)
        if held is not None:
            return held
    return Go()


def _again(asked: Asked, situation: Situation, at: float) -> float:
    """Return by our clock when to look again, from a time by the clock of leases and circuits."""
    return asked.facts.now + max(0.0, at - situation.now)


def _alarm(asked: Asked) -> Held | None:
    if asked.stands is None:
        return Held("resolved", NOT_READ, asked.facts.now + AGAIN)
    return None if asked.stands else Held("resolved", ALARM_OVER, None)


def _settled(asked: Asked, strategy: Strategy, _terms: Restartable, situation: Situation) -> Held | None:
    if asked.by_person or not 0 < asked.item <= situation.verified.get(strategy.service, 0):
        return None
    return Held(None, "it was restarted and verified for another item meanwhile", None)


def _circuit(asked: Asked, strategy: Strategy, _terms: Restartable, situation: Situation) -> Held | None:
    for key, name in keys(strategy):
        found = circuit.barred(situation.circuit(key), name, situation.now)
        if found is not None:
            return Held("circuit", found.sentence, _again(asked, situation, found.look_again_at))
    return None


def _dependency(asked: Asked, strategy: Strategy, terms: Restartable, situation: Situation) -> Held | None:
    why = order.barred(strategy.service, terms.parents, Troubles(situation.waiting, situation.down))
    return None if why is None else Held("dependency", why, asked.facts.now + AGAIN)


def _budget(asked: Asked, strategy: Strategy, terms: Restartable, situation: Situation) -> Held | None:
    found = budgets.spent(terms.budgets, situation.begun, strategy.service, strategy.group, situation.now)
    if found is None:
        return None
    return Held("budget", found.sentence, _again(asked, situation, found.look_again_at))


def _fleet(asked: Asked, _strategy: Strategy, terms: Restartable, situation: Situation) -> Held | None:
    why = None if asked.by_person else situation.fleet(terms)
    # Of thousands each look is a look at all of them.
    again = min(max(AGAIN, len(situation.failing) * FLEET_AGAIN), LONGEST_FLEET_AGAIN)
    return None if why is None else Held("fleet", why, asked.facts.now + again)


def _busy(asked: Asked, strategy: Strategy, _terms: Restartable, situation: Situation) -> Held | None:
    item = situation.running.get(strategy.service)
    if item is None:
        return None
    return Held("busy", f"it is being restarted just now (item {item})", asked.facts.now + BUSY_AGAIN)


_REASONS: Final[tuple[Callable[[Asked, Strategy, Restartable, Situation], Held | None], ...]] = (
    _settled,
    _circuit,
    _dependency,
    _budget,
    _fleet,
    _busy,
)
