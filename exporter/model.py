"""The nouns and what they promise each other. Standard library only; nothing here acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

Labels = tuple[str, ...]
"""Label values, in the order in which their family declares the names."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A metric family, declared once beside the code that fills it.

    `data_label` names the label whose values come from data rather than from the configuration: those values are
    normalised and capped, and values that fall together are joined by `merge`.
    """

    name: str
    type: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    data_label: str | None = None
    merge: Literal["sum", "min", "max"] = "sum"


Samples = dict[Family, dict[Labels, float]]
"""What one read found: for each family the value of each combination of label values."""


class Clock(Protocol):
    """Time as an argument: tests hand in their own."""

    def time(self) -> float:
        """Return seconds since 1970, UTC: for timestamps that people and Prometheus see."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back: for durations and deadlines."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """One configured source of a collector: what the scrape reads, isolates, times and counts on its own.

    `read` may take as long as it likes: the scrape cancels it at the deadline. A raised error means that the source
    could not be read; its series are then absent. `configured` are the values of the data label that the
    configuration names and that the series cap therefore never drops. `min_interval` (seconds) shares a read
    between scrapes that come closer together.
    """

    collector: str
    name: str
    read: Callable[[], Awaitable[Samples]]
    configured: frozenset[str] = field(default=frozenset())
    min_interval: float = 0.0


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


@dataclass(slots=True)
class Reload:
    """How the last load of the configuration went, and when one last succeeded (seconds since 1970)."""

    successful: bool
    success_at: float


class Parts(Protocol):
    """What a collector may use to make its sources: its configured options, the named databases, the clock."""

    @property
    def databases(self) -> Mapping[str, Any]:
        """The named databases of the configuration (`exporter.databases.Database`)."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of this process."""
        ...

    @property
    def reload(self) -> Reload:
        """How the last load of the configuration went."""
        ...

    @property
    def watch(self) -> Any:
        """The services that this process probes (`exporter.services.watch.Watch`); None where nothing does."""
        ...

    @property
    def bridge(self) -> Any:
        """What receives alerts and works off the backlog (`exporter.bridge.bridge.Bridge`); None where nothing does."""
        ...

    def options(self, collector: str) -> Mapping[str, Any]:
        """Return the configured sources of a collector by name, each an instance of its `Options`."""
        ...


class Collector(Protocol):
    """What a module in `exporter/collectors/`, or a third party's entry point, offers.

    It may also have `Options`, a frozen dataclass: then the top-level key of the configuration with the
    collector's name is a mapping of source names to such options.
    """

    FAMILIES: tuple[Family, ...]

    def sources(self, parts: Parts) -> Iterable[Source]:
        """Yield the sources that the configuration names."""
        ...


Mode = Literal["observe", "approve", "auto"]
"""What may be done without a person: nothing, what a person releases, everything that the gate lets through."""

MODES: tuple[Mode, ...] = ("observe", "approve", "auto")
"""From the strictest to the freest."""

ItemState = Literal["pending", "held", "running", "done", "failed", "dead", "cancelled"]
"""How an item of the backlog is.

`pending` waits for its turn, or for a person where its queue has no action; `held` is kept back for a reason that may
end; `failed` waits for its next attempt; `dead` has no attempts left and is tried again by hand only.
"""

ITEM_STATES: tuple[ItemState, ...] = ("pending", "held", "running", "done", "failed", "dead", "cancelled")

Hold = Literal["mode", "circuit", "window", "dependency", "budget", "fleet", "busy", "silenced", "resolved", "late"]
"""Why something was not done, as one of few words."""

HOLDS: tuple[Hold, ...] = (
    "mode",
    "circuit",
    "window",
    "dependency",
    "budget",
    "fleet",
    "busy",
    "silenced",
    "resolved",
    "late",
)


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the backlog as an action sees it.

    `labels` and `annotations` are those of the alert that led to it: hostile text, already made printable; empty for
    one that a person added. `attempt` begins with 1. Times are in seconds since 1970.
    """

    id: int
    queue: str
    key: str
    reason: str = ""
    service: str | None = None
    attempt: int = 1
    created_at: float = 0.0
    incident: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: float | None = None
    generator_url: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Exactly what an action would do: the argument list, or the request. No secret is in it.

    `sentence` is one line for people; `details` is the same for programs, of JSON's types.
    """

    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """It was done. `detail` is a sentence; `output` what a program or a server said, bounded and not yet redacted."""

    detail: str
    output: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed and may succeed later: not before `after` seconds where that is said."""

    detail: str
    output: str = ""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It failed, and no further attempt would end otherwise."""

    detail: str
    output: str = ""


Outcome = Done | Retry | GiveUp
"""How a run of an action ended."""


class ActionParts(Protocol):
    """What an action may use."""

    @property
    def clock(self) -> Clock:
        """The clock of this process."""
        ...

    @property
    def mail(self) -> Any:
        """How mail leaves (`exporter.mail.MailOptions`), or None."""
        ...

    @property
    def alertmanager(self) -> Any:
        """Where Alertmanager is (`exporter.bridge.options.AlertmanagerOptions`)."""
        ...

    def permits(self, address: str) -> bool:
        """Return whether a numeric address may be connected to."""
        ...


class Action(Protocol):
    """What a module in `exporter/actions/`, or a third party's entry point of `watchbridge.actions`, offers.

    The word of the configuration is the module's name. An action never reads the queue, sleeps, retries or logs: it
    returns how it ended.
    """

    Options: type

    def plan(self, options: Any, item: Item) -> Plan:
        """Return what `act` would do for an item; PlaceholderError says what of the item is missing or unfit."""
        ...

    async def act(self, options: Any, item: Item, parts: ActionParts, timeout: float) -> Outcome:
        """Do it once, within `timeout` seconds. Never raises, but for a cancellation: then nothing of it runs on."""
        ...
