"""How many restarts may begin in a time, and when so much fails that none may. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from exporter import order
from exporter.circuit import said_at

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Scope = Literal["service", "group", "all"]


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `restarts` in `per` seconds, of each service, each group, or all; of `names` only, where there are."""

    scope: Scope
    restarts: int
    per: float
    names: frozenset[str] = frozenset()

    def covers(self, service: str, group: str | None) -> str | None:
        """Return the name by which a service's restarts are counted, None where it does not hold for that service."""
        if self.scope == "all":
            return ""
        name = service if self.scope == "service" else group
        return name if name is not None and (not self.names or name in self.names) else None


class Begun(NamedTuple):
    """A restart that has begun, in seconds since 1970."""

    at: float
    service: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget is spent: a sentence for why, and when there is some again, in seconds since 1970."""

    sentence: str
    look_again_at: float


def spent(
    budgets: Sequence[Budget], begun: Collection[Begun], service: str, group: str | None, now: float
) -> Spent | None:
    """Return which budget has nothing left for a service, of several the one that has so for longest; else None."""
    found = [one for budget in budgets if (one := _spent(budget, begun, service, group, now)) is not None]
    return max(found, key=lambda one: one.look_again_at, default=None)


def _spent(budget: Budget, begun: Collection[Begun], service: str, group: str | None, now: float) -> Spent | None:
    name = budget.covers(service, group)
    if name is None:
        return None
    times = sorted(
        one.at for one in begun if one.at > now - budget.per and budget.covers(one.service, one.group) == name
    )
    if len(times) < budget.restarts:
        return None
    # The one whose age makes room: of more than the budget the oldest ones count no longer.
    again = times[len(times) - budget.restarts] + budget.per
    of = {"all": "all services", "group": f"the group {name}", "service": name}[budget.scope]
    count = "1 restart" if len(times) == 1 else f"{len(times)} restarts"
    said = f"{count} of {of} began within {budget.per:g} s, of a budget of {budget.restarts}"
    return Spent(f"{said}: more from {said_at(again)}", again)


@dataclass(frozen=True, slots=True)
class FleetBreaker:
    """Nothing is restarted while at least `at_least` and more than `share` of all services, or groups, are failing."""

    at_least: int
    share: float
    of: Literal["services", "groups"] = "services"
    per: float = 600.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that can be restarted: the group and the parents of each service."""

    groups: Mapping[str, str | None] = field(default_factory=dict)
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def tripped(breaker: FleetBreaker | None, fleet: Fleet, failing: Collection[str]) -> str | None:
    """Return why so much is failing that nothing is restarted, or None.

    What hangs on another failing service counts not: one that broke with all its children is one.
    """
    if breaker is None:
        return None
    causes = order.roots([name for name in failing if name in fleet.groups], fleet.parents)
    everything: Collection[object] = fleet.groups
    counted: Collection[object] = causes
    if breaker.of == "groups":
        everything = {group for group in fleet.groups.values() if group is not None}
        counted = {group for name in causes if (group := fleet.groups[name]) is not None}
    if len(counted) < breaker.at_least or len(counted) <= breaker.share * len(everything):
        return None
    return (
        f"{len(counted)} of {len(everything)} {breaker.of} are failing at once, which is more than the "
        f"{breaker.share:.0%} of `fleet_breaker`: nothing is restarted, look for what they have in common"
    )
