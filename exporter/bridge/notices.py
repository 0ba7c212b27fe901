"""Who is told of what: an entry of `notify` becomes an item of the built-in queue `notifications`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter import matchers
from exporter.bridge.options import NOTIFICATIONS, notify_identities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config import Configuration
    from exporter.config.options import Choice
    from exporter.matchers import Matcher
    from exporter.model import Mode

TELLS: Final = frozenset({"alertmanager", "email", "http"})
"""Kinds of actions that tell somebody, which is no deed; what others do, only the mode auto lets them do."""
RULE_LENGTH: Final = 64
"""Characters of the column that tells the items of one incident apart."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An entry of `notify` as it was read; `identity` is what its items name, wherever it stands in the list."""

    identity: str
    on: str
    kind: str
    matchers: tuple[Matcher, ...]
    mode: Mode


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told to whom: the key and the reason of an item of the queue `notifications`."""

    identity: str
    key: str
    reason: str
    mode: Mode

    @property
    def queue(self) -> str:
        """Return the queue."""
        return NOTIFICATIONS

    @property
    def rule(self) -> str:
        """Return what stands for a rule's name: the key, or a digest of one that is too long for that."""
        return self.key if len(self.key) <= RULE_LENGTH else hashlib.sha256(self.key.encode()).hexdigest()


def notices(configuration: Configuration) -> tuple[Notice, ...]:
    """Return the entries of `notify` of a configuration that was checked."""
    mode: Any = configuration.mode or "observe"
    return tuple(
        Notice(
            identity,
            one.on,
            one.action.kind,
            matchers.compiled(one.matchers),
            mode if _is_deed(one.action) else "auto",
        )
        for identity, one in zip(notify_identities(configuration.notify), configuration.notify, strict=True)
    )


def _is_deed(action: Choice) -> bool:
    """Return whether an action may do more than tell: a silence keeps others from being told."""
    return action.kind not in TELLS or getattr(action.options, "post", None) == "silence"


def of(
    known: tuple[Notice, ...], on: str, number: int, event: str, reason: str, labels: Mapping[str, str]
) -> Iterator[Told]:
    """Yield who is to be told of an event of an incident or an item (its number), for example `opened`."""
    for notice in known:
        if notice.on == on and matchers.every(notice.matchers, labels):
            yield Told(notice.identity, f"{notice.identity}:{on}:{number}:{event}", reason, notice.mode)
