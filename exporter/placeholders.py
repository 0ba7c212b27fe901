"""`{name}` in the configuration: one whole argument, one whole JSON value or one whole key, and never a part of one.

What alerts say only ever selects or fills one value: it is never part of a path, a shell text or a format string.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.model import Item

_WHOLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
# A shell that a program starts reads ${name} itself: that is none of ours.
_WITHIN: Final = re.compile(r"(?<!\$)\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)

OWN: Final = ("id", "key", "queue", "reason", "service", "incident", "attempt")
"""What an item has of its own: these come before the alert's labels of the same name."""


class PlaceholderError(ValueError):
    """What a placeholder names is not there, or cannot stand where it does; the message is a sentence."""


def name(text: str) -> str | None:
    """Return what a text that is one whole placeholder names; None for any other text."""
    found = _WHOLE.fullmatch(text)
    return found[1] if found else None


def problem(text: str) -> str | None:
    """Return why a text of the configuration cannot hold a placeholder as it does, or None."""
    if name(text) is not None or not (found := _WITHIN.search(text)):
        return None
    return f"{found[0]!r} stands within other text: a placeholder is the whole value, for example {found[0]!r} alone"


def misplaced(text: str) -> str | None:
    """Return why a text cannot stand where no placeholder may, neither as a whole nor within it; None where it can."""
    if found := _WITHIN.search(text):
        return f"{found[0]!r} would not be filled in here, this text is fixed: write it without braces"
    return None


def filled(text: str, facts: Mapping[str, str]) -> str:
    """Return the text, or what it names where it is a placeholder; PlaceholderError when that is absent."""
    wanted = name(text)
    if wanted is None:
        return text
    if (value := facts.get(wanted)) is None or not value:
        raise PlaceholderError(f"there is no {wanted!r} to put into {text!r}")
    return value


def facts(item: Item) -> Mapping[str, str]:
    """Return what placeholders of an action can name: what the item has of its own, and the alert's labels."""
    own = {
        "id": str(item.id),
        "key": item.key,
        "queue": item.queue,
        "reason": item.reason,
        "service": item.service or "",
        "incident": "" if item.incident is None else str(item.incident),
        "attempt": str(item.attempt),
    }
    # A label never stands in for what the item has of its own and lacks: `{service}` is one of the configuration.
    labels = {name: value for name, value in item.labels.items() if name not in own}
    return {**labels, **{word: value for word, value in own.items() if value}}
