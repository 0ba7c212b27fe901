"""What claims are made of: who claims what, what is decided of an item, and how its run ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from exporter.store.backlog_rows import WAITING, BacklogItem

if TYPE_CHECKING:
    from collections.abc import Collection

    from exporter.model import Hold, ItemState
    from exporter.store.action_runs import Ended


@dataclass(frozen=True, slots=True)
class Begin:
    """The decision that an item is run now: by which kind of action, and what exactly that does."""

    kind: str
    plan: str


@dataclass(frozen=True, slots=True)
class KeepBack:
    """The decision that an item is not run now: why, and when to look again; None: never, it is cancelled.

    Where there is no word for why, nothing is in its way and it needs no run: it is done.
    """

    hold: Hold | None
    sentence: str
    look_again_at: float | None

    @property
    def state(self) -> ItemState:
        """Return the state in which an item is kept back."""
        if self.look_again_at is not None:
            return "held"
        return "done" if self.hold is None else "cancelled"


class Held(NamedTuple):
    """An item that was kept back: as it was before, and why it is kept back now."""

    before: BacklogItem
    why: KeepBack

    @property
    def is_news(self) -> bool:
        """Whether it was not held for this reason before."""
        return self.before.state != "held" or self.before.hold != self.why.hold


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim found: `begun` are ours to run, until the lease ends.

    Of restarts, `fences` has by item the number of its service's lease, and `hung` those that waited for another one.
    """

    begun: list[BacklogItem] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    fences: dict[int, int] = field(default_factory=dict)
    hung: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who claims: `owner` is one life of one process, `replica` the name that people know, `lease` is in seconds."""

    owner: str
    replica: str
    lease: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be claimed: at most `limit` items of a queue in some states, due by a moment (None: by now).

    `by_hand` takes those that the mode holds whenever they are looked at again. Of restarts,
    `only_for` are the services that we restart, and `only_items` the items that a person's command is about.
    """

    queue: str
    limit: int
    states: Collection[str] = WAITING
    due_by: float | None = None
    by_hand: bool = False
    only_for: frozenset[str] | None = None
    only_items: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """How the run of a claimed item ended, and what becomes of the item.

    `run` is None where its end was written before (`interrupted`). Of an item that is `failed`, `due_at` is when it is
    tried again. `counts` is False for a run that was no attempt: nothing was done.
    """

    item: BacklogItem
    state: ItemState
    explanation: str
    due_at: float
    run: Ended | None = None
    counts: bool = True
