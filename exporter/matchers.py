"""Alertmanager's matchers: a label's name, an operator and a value; all of a list must match.

The syntax is that of Alertmanager's `matchers` (0.22 and later): `name="value"`, `name!="value"`, `name=~"pattern"`,
`name!~"pattern"`. Patterns are RE2 and match the whole value; a label that is absent is the empty text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Operator = Literal["=", "!=", "=~", "!~"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher that has been read."""

    name: str
    operator: Operator
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels match."""
        raise NotImplementedError


def parse(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of one text; ValueError says what is wrong and where."""
    raise NotImplementedError


def every(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Return whether all of the matchers match; none at all match everything."""
    return all(one.matches(labels) for one in matchers)
