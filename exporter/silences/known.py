"""The silences of one answer of Alertmanager's API (v2), found by the labels of an alert."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from exporter import handover
from exporter.alerts import texts, times
from exporter.matchers import Matcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.matchers import Operator

MOST: Final = 50_000
"""Silences of one answer, ended ones too."""
LONGEST: Final = 200
"""Characters that are told of a comment, a name or an id."""

# What has a meaning of its own in RE2; what stands before it is matched as it is.
_PLAIN: Final = re.compile(r"[^\\.+*?()|\[\]{}^$]*")
_OPERATORS: Final[dict[tuple[bool, bool], Operator]] = {
    (False, True): "=",
    (False, False): "!=",
    (True, True): "=~",
    (True, False): "!~",
}


@dataclass(frozen=True, slots=True)
class Matchers:
    """The matchers of a silence. `unread` says why not all are known: those that are may still rule an alert out."""

    known: tuple[Matcher, ...]
    unread: str | None = None
    start: tuple[str, str] = ("", "")
    """A label and what its value must start with: asked before any pattern, as that costs some fifty times as much."""

    def match(self, labels: Mapping[str, str]) -> bool | None:
        """Return whether they match, None where only what could not be read decides it."""
        if not all(one.matches(labels) for one in self.known):
            return False
        return True if self.unread is None else None


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that has not ended. Texts are hostile, but printable and bounded; times are in seconds since 1970."""

    id: str
    comment: str
    author: str
    pending: bool
    starts: float | None
    ends: float | None
    matchers: Matchers

    def holds(self, now: float, asked: float) -> bool:
        """Return whether it holds: both are times of our clock, `asked` that at which Alertmanager told of it."""
        if self.pending and (self.starts is None or self.starts > now):
            return False
        # An end that had passed already when Alertmanager took it for ahead is that of a clock that differs from ours.
        return self.ends is None or self.ends > now or self.ends <= asked

    def __str__(self) -> str:
        until = handover.moment(self.ends) if self.ends is not None else None
        made = f", made by {self.author}" if self.author else ""
        why = f": {self.comment}" if self.comment else ""
        return f"silence {self.id}{made}" + (f", until {until}" if until else "") + why


_Entry: TypeAlias = tuple[str, str, Silence]


class Known:
    """What one answer says. A silence is found by that of the exact values it demands which the fewest others do."""

    def __init__(self, silences: Sequence[Silence], asked: float, read: Mapping[str, Matchers]) -> None:
        """Take the silences, when they were asked for, and what was read of which matchers."""
        self._asked = asked
        self._read = read
        demanded = Counter(pair for one in silences for pair in _demanded(one))
        self._by_label: dict[tuple[str, str], list[_Entry]] = {}
        self._others: list[_Entry] = []
        for one in silences:
            pair = min(_demanded(one), key=demanded.__getitem__, default=None)
            entries = self._others if pair is None else self._by_label.setdefault(pair, [])
            entries.append((*one.matchers.start, one))

    @classmethod
    def of(cls, answer: Any, asked: float, before: Known | None = None) -> Known:
        """Return what an answer says; ValueError, in words that follow the server's name, where it is none.

        Matchers that were there `before` are not read again: compiling thousands of patterns takes a while.
        """
        if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
            raise ValueError("answered with something that is no list of silences")
        if len(answer) > MOST:
            raise ValueError(f"answered with more than {MOST:,} silences")
        old = {} if before is None else before._read  # noqa: SLF001 - of the same class
        read: dict[str, Matchers] = {}
        silences = []
        for found in answer:
            state = _state(found)
            if state == "expired":
                continue
            key = repr(found.get("matchers"))
            if key not in read:
                read[key] = old.get(key) or _matchers(found.get("matchers"))
            silences.append(_silence(found, state, read[key]))
        return cls(silences, asked, read)

    def silencing(self, labels: Mapping[str, str], now: float) -> tuple[Silence | None, Silence | None]:
        """Return that silence of these labels which lasts longest, and one that might be another; None for none."""
        certain = perhaps = None
        for one in self._candidates(labels):
            if (match := one.matchers.match(labels)) is False or not one.holds(now, self._asked):
                continue
            if match is None:
                perhaps = one
            elif certain is None or _end(one) > _end(certain):
                certain = one
        return certain, perhaps

    def _candidates(self, labels: Mapping[str, str]) -> Iterator[Silence]:
        for entries in (*(self._by_label.get(pair, ()) for pair in labels.items()), self._others):
            for name, start, one in entries:
                if labels.get(name, "").startswith(start):
                    yield one


def _demanded(silence: Silence) -> Iterator[tuple[str, str]]:
    """Yield the labels without which a silence does not match; the empty value is also that of an absent one."""
    return ((one.name, one.value) for one in silence.matchers.known if one.operator == "=" and one.value)


def _end(silence: Silence) -> float:
    return math.inf if silence.ends is None else silence.ends


def _state(found: Mapping[str, Any]) -> Any:
    status = found.get("status")
    return status.get("state") if isinstance(status, dict) else None


def _silence(found: Mapping[str, Any], state: Any, matchers: Matchers) -> Silence:
    if state not in ("active", "pending"):
        matchers = replace(matchers, unread="it is in a state that is not known here")
    return Silence(
        id=_line(found.get("id")),
        comment=_line(found.get("comment")),
        author=_line(found.get("createdBy")),
        pending=state == "pending",
        starts=_time(found.get("startsAt")),
        ends=_time(found.get("endsAt")),
        matchers=matchers,
    )


def _time(found: Any) -> float | None:
    """Return seconds since 1970; None, as for an end that never comes, where it cannot be read."""
    try:
        return times.seconds(found, math.inf)
    except times.TimeError:
        return None


def _line(found: Any) -> str:
    """Return a text on one line, printable and bounded."""
    text = found if isinstance(found, str) else ""
    return texts.label(texts.cut(" ".join(text[: 8 * LONGEST].split()), LONGEST))


def _matchers(found: Any) -> Matchers:
    """Read what can be read. Those that look at a whole value come first, as they cost the least."""
    if not isinstance(found, list) or not found:
        return Matchers((), "it has no matchers that can be read")
    known: list[Matcher] = []
    unread = None
    for one in found:
        try:
            known.append(_matcher(one))
        except ValueError as error:
            unread = str(error)
    known.sort(key=lambda one: "~" in one.operator)
    starts = ((one.name, _start(one.value)) for one in known if one.operator == "=~")
    return Matchers(tuple(known), unread, max(starts, key=lambda one: len(one[1]), default=("", "")))


def _start(pattern: str) -> str:
    """Return what every text that an anchored pattern matches starts with, as far as it is easily seen."""
    plain = "" if "|" in pattern else pattern[: cast("re.Match[str]", _PLAIN.match(pattern)).end()]
    # What may be repeated may be absent.
    return plain[:-1] if pattern[len(plain) : len(plain) + 1] in ("*", "?", "{") else plain


def _matcher(found: Any) -> Matcher:
    """Read a matcher; ValueError says what is wrong. Exact texts become what those of alerts become."""
    found = found if isinstance(found, dict) else {}
    name, value = found.get("name"), found.get("value")
    is_regex, is_equal = found.get("isRegex"), found.get("isEqual", True)
    if not (isinstance(name, str) and isinstance(value, str) and type(is_regex) is bool and type(is_equal) is bool):
        raise ValueError("it has a matcher that cannot be read")
    return Matcher(texts.label(name), _OPERATORS[is_regex, is_equal], value if is_regex else texts.label(value))
