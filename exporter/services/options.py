"""What the configuration says of services: how each is probed, and how probing as a whole is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from exporter.config.options import Choice, Duration, Kind, option
from exporter.restarting.options import CircuitOptions, RestartTiming, restart_problems, restart_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    Told: TypeAlias = tuple[tuple[str | int, ...], str]

EVERY: Final = 60.0
"""Seconds between two runs where neither `every` nor `schedule` is given: Prometheus' own default interval."""
TIMEOUT: Final = 5.0
"""Seconds that a run may take where nothing is said: the service monitor's own default, `timeout_ms` 5000."""
_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_DAY: Final = 86_400
_HOUR: Final = 3_600
_LONGEST_RATIO: Final = 90
"""Days of the longest window of `watchbridge_uptime_ratio`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a probe runs and how long it may take; these keys stand beside those of its kind."""

    every: Duration | None = option(
        None, help="Time between two runs; 1m when `schedule` is left out too.", minimum=1, maximum=365 * _DAY
    )
    schedule: str | None = option(
        None, help="Instead of `every`: a cron pattern of five fields.", example="*/5 * * * *", minimum=1
    )
    timezone: str = option("UTC", help="The time zone of `schedule`.", example="Europe/Bucharest", minimum=1)
    timeout: Duration | None = option(
        None,
        help="How long a run may take; it may be longer than `every`. Left out: 5s, or `every` where that is shorter.",
        minimum=0.05,
        maximum=_HOUR,
    )
    slow_after: Duration | None = option(
        None,
        help="A slower run is at best degraded. Left out: 2s for http, tcp, tls, dns and icmp, never for other kinds.",
        minimum=0.001,
        maximum=_HOUR,
    )

    @property
    def patience(self) -> float:
        """How long a run may take, in seconds."""
        if self.timeout is not None:
            return self.timeout
        return TIMEOUT if self.schedule is not None else min(TIMEOUT, self.every or EVERY)

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the two ways of saying when."""
        del configuration
        if self.every is not None and self.schedule is not None:
            yield ("schedule",), "give 'every' or 'schedule', not both"
        if reason := _zone_problem(self.timezone):
            yield ("timezone",), reason
        elif self.schedule is not None and (reason := _cron_problem(self.schedule, self.timezone)):
            yield ("schedule",), reason

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield what is allowed and hardly meant."""
        del configuration
        if self.schedule is None:
            every = self.every or EVERY
            if self.patience > every:
                yield (
                    ("timeout",),
                    f"is longer than the {every:g} s between two runs, which then never overlap: some are left out",
                )
            if self.timezone != "UTC":
                yield ("timezone",), "is used by `schedule` alone: leave it out, or give a schedule"
        if self.slow_after is not None and self.slow_after >= self.patience:
            yield ("slow_after",), "is not shorter than `timeout`: no run is ever slow"


@lru_cache(maxsize=1024)
def _zone_problem(zone: str) -> str | None:
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - most services name no zone

    from exporter.config.mistakes import nearest, shown  # noqa: PLC0415 - only a mistake needs it

    if zone == "UTC":
        return None
    try:
        ZoneInfo(zone)
    except (LookupError, ValueError, OSError):  # none at all; a path, a name with NUL; a folder of the data base
        hint = nearest(zone, available_timezones())
        return f"there is no time zone {shown(zone)}{hint or ': write one like Europe/Bucharest'}"
    return None


@lru_cache(maxsize=1024)
def _cron_problem(pattern: str, zone: str) -> str | None:
    from exporter.schedule import Cron  # noqa: PLC0415 - most services run every so often

    try:
        Cron.parse(pattern, zone)
    except ValueError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """A service: something that is up, degraded or down."""

    probe: Annotated[Choice, Kind("probes", Timing)] | None = option(
        None, help="How its state is found out. A service with `restart` alone is not watched, only restarted."
    )
    client: str = option(
        "default",
        help="Whose service it is: the label `client`.",
        example="accounting",
        minimum=1,
        maximum=128,
        pattern=rf"[^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?",
    )
    group: str | None = option(None, help="Services that belong together, for windows.", example="frontend", minimum=1)
    criticality: Literal["low", "normal", "high"] = option("normal", help="How much it matters.")
    depends_on: tuple[str, ...] = option((), help="Services that it needs: its parents.", example=["db"])
    restart: Annotated[Choice, Kind("restarts", RestartTiming)] | None = option(
        None, help="How it is restarted. Left out, it never is."
    )
    circuit: CircuitOptions = option(
        default_factory=CircuitOptions, help="When failed restarts make it be left alone for a while."
    )
    node: str | None = option(
        None,
        help="The host that it is on: only a replica of that `node` restarts what acts on a host, and probes it where "
        "one lives. Left out: the one host that there is.",
        example="web1",
        minimum=1,
        maximum=253,
        pattern=rf"[^\s{_CONTROLS}]*",
    )
    alarm: str | None = option(
        None, help="The name of its process in the tables of `alarms`. Left out: the service's own name.", minimum=1
    )
    enabled: bool = option(True, help="Whether it is probed.")  # noqa: FBT003 - a default
    series: Literal["default", "full"] = option(
        "default", help="full adds phases, uptime ratios by window and components (at most 50) to its series."
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what makes it no service, or its restart one that nobody could judge or that nobody may run."""
        if self.probe is None and self.restart is None:
            yield (), "has neither `probe` nor `restart`: give one of them"
        if self.restart is not None:
            yield from restart_problems(self, configuration)

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield what has no effect without a restart, and a shared store whose replicas may be on several hosts."""
        if self.restart is not None:
            yield from restart_warnings(self, configuration)
        elif self.alarm is not None:
            yield ("alarm",), "has no effect, as the service has no `restart`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleTiming:
    """What stands beside the keys of a kind below `probe_modules`: Prometheus says when such a probe runs."""

    timeout: Duration = option(
        Duration(5.0), help="How long a run may take, where the scrape leaves so much.", minimum=0.05, maximum=_HOUR
    )


ProbeModule = Annotated[Choice, Kind("probes", ModuleTiming, aimed=True)]
"""An entry of `probe_modules`: how a target is probed that a request to `/probe` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbingOptions:
    """How probing is bounded."""

    allow: tuple[str, ...] = option(
        (),
        help="Hosts and networks that a free `target` of /probe may be in: the address that is connected to counts.",
        example=["10.0.0.0/8", "web.example"],
    )
    concurrency: int = option(
        500, help="Probes that run at once; those that hung share half of them.", minimum=2, maximum=10_000
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield which entries of `allow` are neither a network nor an address nor a name of a host."""
        del configuration
        for index, entry in enumerate(self.allow):
            if reason := _entry_problem(entry):
                yield ("allow", index), reason

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield which entries let in everything."""
        del configuration
        for index, entry in enumerate(self.allow):
            if entry.strip().endswith("/0") and _entry_problem(entry) is None:
                sentence = "lets whoever reaches /probe look at every host that this one reaches: name smaller networks"
                yield ("allow", index), sentence


def _entry_problem(entry: str) -> str | None:
    from ipaddress import ip_network  # noqa: PLC0415 - most configurations allow nothing

    from exporter import guard  # noqa: PLC0415 - the same
    from exporter.config.mistakes import shown  # noqa: PLC0415 - the same

    wanted = "write a network like 10.0.0.0/8, an address, or the name of a host alone"
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        try:
            is_name = not {"/", ":"} & set(entry) and bool(guard.canonical(entry))
        except ValueError:
            is_name = False
        return None if is_name else f"{shown(entry)} is no network, address or name: {wanted}"
    if network.num_addresses == 1 and (reason := guard.never(str(network.network_address))):
        return f"{network.network_address} {reason}: it is never probed; leave it out"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsOptions:
    """How long what is known of services is kept in the store."""

    retention: Duration = option(
        Duration(30.0 * _DAY), help="How long each reading is kept.", minimum=_HOUR, maximum=3650 * _DAY
    )
    states_retention: Duration = option(
        Duration(365.0 * _DAY),
        help="How long it is kept from when to when a service was up, degraded or down; ratios are made of it.",
        minimum=_DAY,
        maximum=3650 * _DAY,
    )

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield what makes a longer ratio know less than its name says."""
        del configuration
        if self.states_retention < _LONGEST_RATIO * _DAY:
            yield ("states_retention",), "is shorter than 90d: the uptime ratio over 90d then knows no more than this"
