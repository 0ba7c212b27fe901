"""What the configuration says of restarts: how one is carried out, and what bounds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from exporter import kinds, programs
from exporter.config.options import Choice, Duration, Kind, option
from exporter.errors import UnknownKindError

if TYPE_CHECKING:
    from collections.abc import Iterator

    Told: TypeAlias = tuple[tuple[str | int, ...], str]

HOUR: Final = 3_600
DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTiming:
    """What stands beside the keys of a probe that verifies a restart."""

    timeout: Duration = option(Duration(5.0), help="How long one run of it may take.", minimum=0.05, maximum=HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartTiming:
    """What stands beside the keys of a kind of restart. The defaults are those of the process monitor."""

    check: bool = option(
        True,  # noqa: FBT003 -- a default
        help="Whether the service's own `probe` is asked first: what it finds up is not restarted. false restarts it "
        "all the same, for alerts that tell of more than the probe sees.",
    )
    before: tuple[str, ...] = option(
        (),
        help="A program and its arguments that must exit with 0 before anything is restarted; no shell.",
        example=["nginx", "-t"],
        maximum=1000,
    )
    before_timeout: Duration = option(Duration(30.0), help="How long `before` may take.", minimum=0.1, maximum=HOUR)
    timeout: Duration = option(
        Duration(60.0),
        help="How long the restart itself may take; then it is ended and has failed.",
        minimum=0.1,
        maximum=HOUR,
    )
    delay: Duration = option(
        Duration(2.0),
        help="How long to wait after the restart before it is judged, and after a first failed attempt before the next "
        "one; each further one waits twice as long.",
        minimum=0,
        maximum=HOUR,
    )
    attempts: int = option(
        2, help="Attempts that follow one another that soon; then it waits for `rest`.", minimum=1, maximum=100
    )
    rest: Duration = option(
        Duration(30.0),
        help="How long to wait after that before it begins anew, where the alert still fires.",
        minimum=0,
        maximum=DAY,
    )
    verify: Annotated[Choice, Kind("probes", CheckTiming)] | None = option(
        None, help="A probe that says whether the restart helped. Left out: the service's own."
    )
    verify_timeout: Duration = option(
        Duration(5.0), help="How long it may take from then until the probe finds it up.", minimum=0.1, maximum=HOUR
    )

    def __post_init__(self) -> None:
        """Resolve the program once: what is put into PATH's folders later is not run instead."""
        if self.before and (found := programs.found(self.before[0])) is not None:
            object.__setattr__(self, "before", (found, *self.before[1:]))

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the program that runs before."""
        del configuration
        if self.before and (sentence := programs.untrusted(self.before[0])):
            yield ("before", 0), sentence
        for index, text in enumerate(self.before):
            if "\0" in text:
                yield ("before", index), "holds a NUL character, which no program can be given"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield a program that is not here."""
        del configuration
        if self.before and (sentence := programs.absent(self.before[0])):
            yield ("before", 0), f"{sentence}; until then nothing is restarted on this host"


PRESETS: Final = {"process": (3, 300.0), "message": (5, 300.0)}
"""Failures after which a circuit opens, and seconds after which it lets one trial through: as the two monitors."""
BY_CRITICALITY: Final = {"low": 2, "normal": 3, "high": 5}
"""Failures after which a circuit opens where the service names neither: what matters more is tried more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOptions:
    """When a circuit opens, and when it lets one trial through."""

    preset: Literal["process", "message"] | None = option(
        None,
        help="process: open after 3 failures in a row, a trial after 5 minutes; message: after 5, and 5 minutes. Left "
        "out: after 2, 3 or 5 failures by the service's `criticality` (low, normal, high), and 5 minutes.",
    )
    failures: int | None = option(
        None, help="Failed restarts in a row after which it opens, instead.", minimum=1, maximum=1000
    )
    reset: Duration | None = option(
        None, help="How long it stays open before one trial is let through, instead.", minimum=1, maximum=30 * DAY
    )

    def limits(self, criticality: str) -> tuple[int, float]:
        """Return after how many failures it opens, and after how many seconds one trial is let through."""
        failures, reset = PRESETS[self.preset or "process"]
        if self.preset is None:
            failures = BY_CRITICALITY[criticality]
        return self.failures or failures, self.reset or reset


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """A group of services: what bounds its restarts as a whole."""

    circuit: CircuitOptions = option(
        default_factory=lambda: CircuitOptions(preset="message"),
        help="When the circuit of the group opens: by the failures in a row of all its services whose own is closed.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOptions:
    """How many restarts may begin in a time."""

    scope: Literal["service", "group", "all"] = option(help="Whether it holds for each service, each group, or all.")
    restarts: int = option(help="How many.", example=3, minimum=1, maximum=100_000)
    per: Duration = option(help="In which time.", example="10m", minimum=1, maximum=30 * DAY)
    names: tuple[str, ...] = option((), help="Only for these services or groups.", example=["frontend"], maximum=1000)

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield names that nobody has."""
        groups = {service.group for service in configuration.services.values() if service.group}
        known = configuration.services if self.scope == "service" else groups
        for index, name in enumerate(self.names):
            if self.scope == "all":
                yield ("names", index), "has no meaning with the scope all: leave it out"
            elif name not in known:
                yield ("names", index), f"there is no {self.scope} {name!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetBreakerOptions:
    """When so much fails at once that the cause is hardly each service itself: then nothing is restarted."""

    enabled: bool = option(True, help="Whether it is on.")  # noqa: FBT003 -- a default
    at_least: int = option(5, help="It never holds while fewer services than this are failing.", minimum=1)
    share: float = option(
        0.5, help="It holds while more than this share of all that can be restarted is failing.", minimum=0, maximum=1
    )
    of: Literal["services", "groups"] = option(
        "services", help="Whether services are counted, or groups of which one service is failing."
    )
    per: Duration = option(
        Duration(600.0),
        help="Failing is what was to be restarted so long ago, or waits still; one whose parent fails counts not.",
        minimum=1,
        maximum=DAY,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartsOptions:
    """Restarts as a whole."""

    concurrency: int = option(4, help="Restarts that run at once, on each replica.", minimum=1, maximum=100)
    retention: Duration = option(
        Duration(365.0 * DAY), help="How long it is remembered what was restarted.", minimum=HOUR, maximum=3650 * DAY
    )


def on_host(restart: Choice) -> bool:
    """Return whether a restart acts on the host of the replica that runs it; one that is not installed does."""
    try:
        return bool(kinds.load("restarts", restart.kind).ON_HOST)
    except (UnknownKindError, ImportError, AttributeError):
        return True


def restart_problems(service: Any, configuration: Any) -> Iterator[Told]:
    """Yield what is wrong with the restart of a service; paths are those of its keys."""
    kind = service.restart.kind
    if service.restart.beside.verify is None and service.probe is None and not _verifies(service.restart):
        yield ("restart",), f"nobody can say whether a restart of the kind {kind} helped: give `verify`, or a `probe`"
    if configuration.replica is not None and _is_homeless(service, configuration):
        yield ("restart", "kind"), f"{kind} acts on one host, and replicas share the store: say which with `node`"


def restart_warnings(service: Any, configuration: Any) -> Iterator[Told]:
    """Yield what works and is hardly meant."""
    if configuration.replica is None and _is_homeless(service, configuration):
        kind = service.restart.kind
        yield ("restart", "kind"), f"{kind} acts on one host, and others may share the store: say which with `node`"


def _verifies(restart: Choice) -> bool:
    try:
        return bool(kinds.load("restarts", restart.kind).VERIFIES)
    except (UnknownKindError, ImportError, AttributeError):
        return True


def _is_homeless(service: Any, configuration: Any) -> bool:
    """Return whether nobody says on which host a restart acts, and several replicas may live on the store."""
    is_shared = not configuration.store.url.reveal().startswith("sqlite")
    return is_shared and service.node is None and on_host(service.restart)


def group_mistakes(configuration: Any) -> Iterator[Told]:
    """Yield groups that no service is in."""
    known = {service.group for service in configuration.services.values() if service.group}
    for name in configuration.groups:
        if name not in known:
            yield ("groups", name), f"no service is in the group {name!r}: give a service `group: {name}`, or remove it"
