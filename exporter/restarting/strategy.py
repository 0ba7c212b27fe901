"""How one service is restarted and judged, and what it hangs on: the configuration of it, ready to be carried out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exporter import acting, kinds
from exporter.budgets import Budget, Fleet, FleetBreaker
from exporter.circuit import Limits
from exporter.errors import UnknownKindError
from exporter.model import Plan
from exporter.restarting.options import GroupOptions, on_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config import Configuration
    from exporter.config.options import Choice
    from exporter.restarting.options import RestartTiming
    from exporter.services.options import ServiceOptions

QUEUE: Final = "restarts"


class Check(NamedTuple):
    """A probe with its options; the timeout is in seconds."""

    kind: str
    options: Any
    timeout: float


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a service is restarted. `probe` is its own, `verify` the one that judges afterwards; either may be None.

    `node` is the host that the restart acts on, None: wherever it is carried out. `limits` are those of its circuit.
    """

    service: str
    group: str | None
    kind: str
    options: Any
    timing: RestartTiming
    limits: Limits
    probe: Check | None = None
    verify: Check | None = None
    node: str | None = None
    on_host: bool = True

    def plan(self) -> Plan | str:
        """Return exactly what an attempt would run, without known secrets; a sentence where that cannot be said."""
        try:
            found = kinds.load("restarts", self.kind).plan(self.options)
        except UnknownKindError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a third party's kind may raise anything
            return f"the kind {self.kind} cannot say what it would do: {type(error).__name__}"
        shown = acting.shown(found, f"restart of the kind {self.kind!r}")
        if isinstance(shown, str) or not self.timing.before:
            return shown
        before = list(self.timing.before)
        whole = Plan(f"{shlex.join(before)}; then {shown.sentence}", {**shown.details, "before": before})
        return acting.shown(whole, f"restart of the kind {self.kind!r}")


@dataclass(frozen=True)
class Restartable:
    """All that can be restarted, what hangs on what, and what bounds it. `node` is the host that we run on."""

    strategies: Mapping[str, Strategy]
    parents: Mapping[str, tuple[str, ...]]
    probes: Mapping[str, Check]
    groups: Mapping[str, Limits]
    budgets: tuple[Budget, ...]
    breaker: FleetBreaker | None
    fleet: Fleet
    node: str

    @cached_property
    def ours(self) -> frozenset[str]:
        """Return the services that we may restart: those that act on this host, and those that act on none."""
        return frozenset(
            name for name, one in self.strategies.items() if not one.on_host or one.node in (None, self.node)
        )

    @cached_property
    def foreign(self) -> frozenset[str]:
        """Return the services that only another host's replica may restart, or judge."""
        return frozenset(self.strategies) - self.ours

    @property
    def longest(self) -> float:
        """Return for how many seconds what has begun may still count."""
        return max((one.per for one in self.budgets), default=0.0)


def restartable(configuration: Configuration, host: str) -> Restartable:
    """Return what a configuration that was checked says; `host` is the name of this one where it names none."""
    services: Mapping[str, ServiceOptions] = configuration.services
    strategies = {name: one for name, options in services.items() if (one := strategy_of(name, options)) is not None}
    parents = {name: options.depends_on for name, options in services.items()}
    names = {options.group for options in services.values() if options.group is not None}
    groups = {name: _group(configuration.groups.get(name)) for name in sorted(names)}
    return Restartable(
        strategies,
        parents,
        dict(_probes(services)),
        groups,
        tuple(Budget(one.scope, one.restarts, one.per, frozenset(one.names)) for one in configuration.budgets),
        _breaker(configuration.fleet_breaker),
        Fleet({name: one.group for name, one in strategies.items()}, parents),
        configuration.node or host,
    )


def strategy_of(name: str, options: ServiceOptions) -> Strategy | None:
    """Return how an entry below `services` is restarted, None where it never is."""
    if options.restart is None:
        return None
    timing: RestartTiming = options.restart.beside
    failures, reset = options.circuit.limits(options.criticality)
    probe = None if options.probe is None else _check(options.probe, options.probe.beside.patience)
    verify = probe if timing.verify is None else _check(timing.verify, timing.verify.beside.timeout)
    return Strategy(
        name,
        options.group,
        options.restart.kind,
        options.restart.options,
        timing,
        Limits(failures, reset),
        probe,
        verify,
        options.node,
        on_host(options.restart),
    )


def _check(choice: Choice, timeout: float) -> Check:
    return Check(choice.kind, choice.options, timeout)


def _probes(services: Mapping[str, ServiceOptions]) -> Iterator[tuple[str, Check]]:
    for name, options in services.items():
        if options.probe is not None and options.enabled:
            yield name, _check(options.probe, options.probe.beside.patience)


def _group(options: GroupOptions | None) -> Limits:
    return Limits(*(options or GroupOptions()).circuit.limits("normal"))


def _breaker(options: Any) -> FleetBreaker | None:
    if options is None or not options.enabled:
        return None
    return FleetBreaker(options.at_least, options.share, options.of, options.per)
