"""What the configuration says of services: how each is probed, and how probing as a whole is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from exporter.config.options import Choice, Duration, Kind, option

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY = 60.0
"""Seconds between two runs where neither `every` nor `schedule` is given: Prometheus' own default interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a probe runs and how long it may take; these keys stand beside those of its kind."""

    every: Duration | None = option(None, help="Time between two runs; 1m when `schedule` is left out too.", minimum=1)
    schedule: str | None = option(
        None, help="Instead of `every`: a cron pattern of five fields.", example="*/5 * * * *"
    )
    timezone: str = option("UTC", help="The time zone of `schedule`.", example="Europe/Bucharest")
    timeout: Duration = option(Duration(5.0), help="How long a run may take; it may be longer than `every`.", minimum=0.05)
    slow_after: Duration | None = option(
        None,
        help="A slower run is at best degraded. Left out: 2s for http, tcp, tls, dns and icmp, never for other kinds.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """A service: something that is up, degraded or down."""

    probe: Annotated[Choice, Kind("probes", Timing)] = option(help="How its state is found out.")
    client: str = option("default", help="Whose service it is: the label `client`.", minimum=1, maximum=128)
    group: str | None = option(None, help="Services that belong together, for windows.", example="frontend")
    criticality: Literal["low", "normal", "high"] = option("normal", help="How much it matters.")
    depends_on: tuple[str, ...] = option((), help="Services that it needs: its parents.", example=["db"])
    enabled: bool = option(True, help="Whether it is probed.")  # noqa: FBT003 - a default
    series: Literal["default", "full"] = option(
        "default", help="full adds phases, uptime ratios by window and components (at most 50) to its series."
    )

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield what only the whole configuration shows."""
        del configuration
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbingOptions:
    """How probing is bounded."""

    allow: tuple[str, ...] = option(
        (),
        help="Hosts and networks that a free `target` of /probe may be in; checked on the address that is connected to.",
        example=["10.0.0.0/8", "web.example"],
    )
    concurrency: int = option(500, help="Probes that run at once.", minimum=1, maximum=10_000)
