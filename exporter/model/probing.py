"""How a service is, and the probes that find it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model.scraping import Clock, Family, Samples

State = Literal["up", "degraded", "down", "maintenance", "unknown"]
"""How a service is. `maintenance` is planned, `unknown` is what nobody has seen: neither counts in ratios."""

STATES: tuple[State, ...] = ("up", "degraded", "down", "maintenance", "unknown")

Cause = Literal[
    "",
    "config",
    "resolve",
    "refused",
    "connect",
    "tls",
    "timeout",
    "protocol",
    "status",
    "body",
    "health",
    "slow",
    "exit",
    "answer",
    "value",
    "absent",
    "system",
    "unexpected",
]
"""Why a reading is not `up`, as one of few words; the sentence is the reading's `reason`."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a service, as its own health document tells of it."""

    name: str
    state: State


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run of a probe found.

    `state` is up, degraded or down; unknown where the probe itself could not run (no right to open a raw socket, a
    database that is not configured): that says nothing of the service. `reason` says in words why it is that state,
    also when it is up. `duration` and `phases` are in seconds, `tls_expiry` in seconds since 1970 (the earliest of the
    chain). `facts` is the kind's own: what its `samples` exposes.
    """

    state: State
    reason: str
    duration: float
    cause: Cause = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    status_code: int | None = None
    tls_expiry: float | None = None
    components: tuple[Component, ...] = ()
    facts: Any = None

    @property
    def success(self) -> bool:
        """Whether the service did its work: up, or degraded."""
        return self.state in {"up", "degraded"}


class ProbeParts(Protocol):
    """What a probe may use."""

    @property
    def wire(self) -> Any:
        """The connections of probes (`exporter.wire.Wire`)."""
        ...

    @property
    def databases(self) -> Mapping[str, Any]:
        """The named databases of the configuration (`exporter.databases.Database`)."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of this process."""
        ...

    @property
    def hears(self) -> bool:
        """Whether anybody hears what `explain` is told."""
        ...

    def allows(self, address: str) -> bool:
        """Return whether a numeric address may be connected to: asked of each address before it is."""
        ...

    def explain(self, step: str) -> None:
        """Take a sentence about what the probe does now; most runs throw it away. No secret may be in it."""
        ...


class Probe(Protocol):
    """What a module in `exporter/probes/`, or a third party's entry point, offers.

    The word of the configuration is the module's name. `SLOW_AFTER` (seconds) makes a slower reading degraded unless
    the configuration says another time; None: slowness means nothing for this kind. A kind that `/probe` can aim has
    `TARGET` as well: the option that names the target, and what stands in it until a request names one.
    """

    Options: type
    FAMILIES: tuple[Family, ...]
    SLOW_AFTER: float | None

    async def probe(self, options: Any, parts: ProbeParts, timeout: float) -> Reading:
        """Run once, within `timeout` seconds, and return what was found. Never raises, but for a cancellation."""
        ...

    def samples(self, reading: Reading) -> Samples:
        """Return what `/probe` shows of a reading beyond success and duration, in blackbox_exporter's names."""
        ...

    def target(self, options: Any) -> str:
        """Return what is probed in a few words, without any secret: an address, a URL without password."""
        ...

    def aimed(self, options: Any, target: str) -> Any:
        """Return the options with the target of a request to `/probe`; ValueError says what was wanted instead.

        ValueError as well for a kind that takes no target from outside (command, process, sql).
        """
        ...
