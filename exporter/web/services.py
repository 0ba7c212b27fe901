"""What the web asks of the rest of the program; `exporter.app` gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.config.options import Secret
    from exporter.exposition import Answer
    from exporter.model import Clock


@dataclass(frozen=True, slots=True)
class Health:
    """How this process is: `details` says it per part, `error` is the reason when it is unhealthy."""

    status: Literal["healthy", "degraded", "unhealthy"]
    details: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SourceState:
    """A configured source on the landing page: `success` is None until it was read once.

    `read_at` is when it was last read with success, in seconds since 1970, also by an earlier process; `reason` is
    why it cannot be read, the sentence that is logged, without secrets.
    """

    collector: str
    source: str
    success: bool | None = None
    read_at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service on the page: its state and since when (seconds since 1970), why, when it was and will be probed."""

    client: str
    name: str
    state: str
    since: float
    reason: str
    ran_at: float | None = None
    next_run: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """What somebody asks of `/probe`: a target and a module, or a service (and its client, where two have the name).

    `timeout` (seconds) is what the scrape leaves, None when it does not say. `accept` and `accept_encoding` are the
    headers, None when absent.
    """

    module: str | None = None
    target: str | None = None
    service: str | None = None
    client: str | None = None
    hostname: str | None = None
    debug: bool = False
    timeout: float | None = None
    accept: str | None = None
    accept_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeRefusal:
    """Why a probe was not begun: the status of HTTP, and what to do next."""

    status: Literal[400, 403, 503]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a delivery of alerts: how many of them went which way, or why none was taken.

    `truncated` counts those that Alertmanager left out of it. `problem` is the status of HTTP (400 and 413: it cannot
    be read, 503: it cannot be stored now), a word for programs and a sentence; with 503, `retry_after` says in how
    many seconds it may come again. Without a problem, what was accepted is on the disk.
    """

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: int = 0
    refused: int = 0
    truncated: int = 0
    problem: tuple[int, str, str] | None = None
    retry_after: float = 1.0


class Services(Protocol):
    """The parts of the program behind the pages."""

    @property
    def version(self) -> str:
        """The version of this program."""
        ...

    @property
    def started(self) -> float:
        """When this process started, in seconds since 1970."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of this process."""
        ...

    async def scrape(
        self,
        names: frozenset[str] | None,
        timeout: float,
        accept: str | None,
        accept_encoding: str | None,
    ) -> Answer:
        """Scrape the named collectors (None: all) within `timeout` seconds.

        UnknownCollectorError lists the known names. `accept` and `accept_encoding` are the headers, None when absent.
        """
        ...

    async def reload(self) -> None:
        """Load the configuration again; InvalidConfigurationError lists the mistakes and the old one stays."""
        ...

    def readiness(self) -> str | None:
        """Return None when work can be done, else the reason why not."""
        ...

    async def health(self) -> Health:
        """Return how this process and what it needs are."""
        ...

    def sources(self) -> Iterable[SourceState]:
        """Return the configured sources, for the landing page."""
        ...

    def services(self) -> Iterable[ServiceState]:
        """Return the services that this process probes, for the landing page."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether this process was told to end: nothing new is taken."""
        ...

    @property
    def webhook_secret(self) -> Secret | None:
        """The bearer token of those who may send alerts, None where there is none; a reload changes it."""
        ...

    async def receive(self, body: bytes, sender: str) -> Receipt:
        """Take a delivery of Alertmanager's, at most 8 MiB; never raises, and bounds itself how long it takes.

        `sender` is who sends, as far as it is proven: `token`, `certificate` or `user:NAME`. It is not cancelled when
        the client leaves.
        """
        ...

    def count_delivery(self, code: int) -> None:
        """Count the status of an answer to a delivery: told once for each, also for what never came to `receive`."""
        ...

    async def probe(self, request: ProbeRequest) -> Answer | ProbeRefusal:
        """Probe what a request asks for and return its metrics, or its story when `debug` is set; never raises."""
        ...
