"""What is to be done, the actions that do it, and how that ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model.scraping import Clock

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
