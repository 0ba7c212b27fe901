"""The queues that are worked off, from the configuration: what is done for their items, how often and how far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.bridge.options import NOTIFICATIONS, RESTARTS, notify_identities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config import Configuration
    from exporter.config.options import Choice
    from exporter.model import Mode
    from exporter.store.backlog_rows import BacklogItem

TELLING_ATTEMPTS: Final = 10
TELLING_BACKOFF: Final = (2.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds between the attempts of a notification: what cannot be reached for a quarter of an hour is still told."""
TELLING_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Deed:
    """A kind of action or probe with its options; `timeout` is in seconds."""

    kind: str
    options: Any
    timeout: float


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that is worked off. Times are in seconds; of `backoff` the last holds for later attempts.

    `deeds` has what is done by the queue's name, in that of notifications by the identity of an entry of `notify`, in
    that of restarts by the service.
    `rate` is how many items may begin in how many seconds.
    """

    name: str
    deeds: Mapping[str, Deed]
    attempts: int
    backoff: tuple[float, ...]
    concurrency: int = 1
    rate: tuple[int, float] | None = None
    mode: Mode = "auto"
    verify: Deed | None = None
    retries_interrupted: bool = False

    def deed(self, item: BacklogItem) -> Deed | None:
        """Return what is done for an item; None where the configuration no longer has it."""
        if self.name == RESTARTS:
            return self.deeds.get(item.service or "")
        if self.name != NOTIFICATIONS:
            return self.deeds[self.name]
        identity = item.context.get("notify")
        return self.deeds.get(identity) if isinstance(identity, str) else None

    def wait(self, attempt: int) -> float:
        """Return how long to wait after an attempt, the first being 1, that failed."""
        return self.backoff[min(attempt, len(self.backoff)) - 1]


def worked(configuration: Configuration) -> Mapping[str, Queue]:
    """Return the queues of a configuration that have an action, that of restarts, and that of what `notify` tells."""
    found = {name: _queue(name, one) for name, one in configuration.queues.items() if one.action is not None}
    found[RESTARTS] = _restarts(configuration)
    found[NOTIFICATIONS] = Queue(
        NOTIFICATIONS,
        {
            identity: _deed(one.action)
            for identity, one in zip(notify_identities(configuration.notify), configuration.notify, strict=True)
        },
        TELLING_ATTEMPTS,
        TELLING_BACKOFF,
        TELLING_AT_ONCE,
        retries_interrupted=True,
    )
    return found


def _queue(name: str, options: Any) -> Queue:
    return Queue(
        name,
        {name: _deed(options.action)},
        options.attempts,
        tuple(options.backoff),
        options.concurrency,
        None if options.rate is None else (options.rate.items, options.rate.per),
        options.mode or "auto",
        None if options.verify is None else _deed(options.verify),
        options.interrupted == "retry",
    )


def _restarts(configuration: Configuration) -> Queue:
    """Return the queue of restarts; how often and when one is tried again, the service says."""
    deeds = {
        name: Deed(one.restart.kind, one.restart.options, one.restart.beside.timeout)
        for name, one in configuration.services.items()
        if one.restart is not None
    }
    return Queue(RESTARTS, deeds, 1, (0.0,), configuration.restarts.concurrency)


def _deed(choice: Choice) -> Deed:
    return Deed(choice.kind, choice.options, choice.beside.timeout)
