"""Who is told, of what."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from exporter.bridge.options.queues import ActionTiming
from exporter.bridge.options.words import matcher_problems
from exporter.config.options import Choice, Kind, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.bridge.options.words import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyOptions:
    """Who is told, of what."""

    name: str | None = option(
        None,
        help="Its name in the backlog. Left out, it is known by what it says: what waits is lost when that changes.",
        example="chat",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}",
    )
    on: Literal["incident", "backlog", "circuit", "restart"] = option(
        help="incident: it opens or closes; backlog: an item is dead, or waits for its release by a person; circuit: "
        "it opens or is closed by a restart that helped; restart: one that helped, or that failed."
    )
    action: Annotated[Choice, Kind("actions", ActionTiming)] = option(help="How they are told.")
    matchers: tuple[str, ...] = option(
        (), help="Only for alerts whose labels all these match, in Alertmanager's syntax.", maximum=100
    )

    @property
    def identity(self) -> str:
        """Return what its items are known by: its name, or a digest of what it says but for secrets.

        Entries that differ in nothing else have the same one: see `notify_identities`.
        """
        if self.name is not None:
            return self.name
        said = [self.on, self.matchers, self.action.kind, repr(self.action.options)]
        return "notify-" + hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the name and with the matchers."""
        del configuration
        if self.name is not None and re.fullmatch(_NAMELESS, self.name):
            yield ("name",), "is how an entry without a name is known: take another one"
        yield from matcher_problems(self.matchers)

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield that it is told from another one by its place alone."""
        for one in configuration.notify:
            if one is self:
                return
            if one.identity == self.identity and one.action.options != self.action.options:
                yield (), "is told from one before it by its place alone: give both a `name`, so that they can be moved"
                return


_NAMELESS: Final = r"notify-[0-9a-f]{12}(-[0-9]+)?"


def notify_identities(entries: Iterable[NotifyOptions]) -> Iterator[str]:
    """Yield what the items of each entry of `notify` are known by, wherever it stands in the list.

    Of several that say the same, the second and later ones are told apart by their order.
    """
    seen: Counter[str] = Counter()
    for one in entries:
        identity = one.identity
        seen[identity] += 1
        yield identity if seen[identity] == 1 else f"{identity}-{seen[identity]}"


def notify_mistakes(configuration: Any) -> Iterator[Told]:
    """Yield names of entries of `notify` that are given twice."""
    seen: dict[str, int] = {}
    for index, one in enumerate(configuration.notify):
        if one.name is not None and (first := seen.setdefault(one.name, index)) != index:
            yield ("notify", index, "name"), f"{one.name!r} is the name of entry {first + 1} too: give each its own"
