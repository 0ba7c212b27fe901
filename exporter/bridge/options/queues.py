"""The queues of the backlog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from exporter.bridge.options.words import BUILT_IN, DAY, HOUR, QUEUE_PATTERN
from exporter.config.options import Choice, Duration, Kind, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.bridge.options.words import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTiming:
    """What stands beside the keys of an action."""

    timeout: Duration = option(
        Duration(30.0), help="How long a run may take; then it is ended and has failed.", minimum=0.1, maximum=DAY
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTiming:
    """What stands beside the keys of a probe that verifies."""

    timeout: Duration = option(Duration(5.0), help="How long the probe may take.", minimum=0.05, maximum=HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many items of a queue may begin in a time."""

    items: int = option(help="How many.", example=10, minimum=1, maximum=1_000_000)
    per: Duration = option(help="In which time.", example="1m", minimum=0.1, maximum=DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """A queue of the backlog. With an action the server works it off; without one its items wait for a person."""

    action: Annotated[Choice, Kind("actions", ActionTiming)] | None = option(None, help="What is done for each item.")
    attempts: int = option(5, help="How often an item is tried; then it is dead and kept.", minimum=1, maximum=1000)
    backoff: tuple[Duration, ...] = option(
        (Duration(2.0), Duration(4.0), Duration(8.0)),
        help="How long to wait after the first failed attempt, the second and so on; the last holds for later ones.",
        minimum=1,
        maximum=100,
    )
    concurrency: int = option(1, help="Items that run at once, on each replica.", minimum=1, maximum=100)
    rate: Rate | None = option(None, help="A bound on how many items begin in a time, on each replica.")
    mode: Literal["observe", "approve", "auto"] | None = option(
        None, help="How far this queue may go; of it, the rule's and the global `mode` the strictest holds."
    )
    verify: Annotated[Choice, Kind("probes", VerifyTiming)] | None = option(
        None, help="A probe that says whether it was done: after each run, and after one whose end nobody saw."
    )
    interrupted: Literal["dead", "retry"] = option(
        "dead",
        help="What becomes of an item whose run ended unseen (a crash) where no `verify` can tell: dead keeps it for a "
        "person, retry runs it again. Choose retry for what may be done twice.",
    )

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield keys that have no meaning without an action."""
        del configuration
        if self.action is None and (self.verify is not None or self.rate is not None):
            yield (), "has no action, so its items wait for a person: the other keys have no effect"


def queue_mistakes(configuration: Any) -> Iterator[Told]:
    """Yield names of queues that are ours or that no label should be."""
    for name in configuration.queues:
        if name in BUILT_IN:
            yield ("queues", name), f"{name!r} is a queue of Watchbridge itself: take another name"
        elif not re.fullmatch(QUEUE_PATTERN, name):
            yield ("queues", name), "wanted letters, digits, points, hyphens and underscores, at most 64"
