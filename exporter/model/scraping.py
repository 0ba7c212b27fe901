"""What a scrape is made of: families, samples, sources and the collectors that have them."""

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
