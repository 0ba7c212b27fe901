"""Verdicts: of a status code, the worse of several, and what slowness does to a reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from exporter.model import Component

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.model import Cause, Reading, State

MOST_COMPONENTS: Final = 50
"""Components that a verdict keeps, the worst first: each may become a series."""

RANKS: Final[Mapping[State, int]] = {"unknown": 0, "maintenance": 1, "up": 2, "degraded": 3, "down": 4}
"""Which state is the worse: the higher one. What nobody has seen is never worse than what somebody has."""

_OK: Final = 200
_REDIRECT: Final = 300
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a service is by one part of its answer, with the reason in words and the components that the part names."""

    state: State
    reason: str
    cause: Cause = ""
    components: tuple[Component, ...] = ()


@lru_cache(maxsize=1024)
def of_code(code: int, expected: int | None) -> Verdict:
    """Return the verdict of a status code of HTTP.

    Without an expected code 2xx is up, from 500 on down, anything else degraded (a redirect is not followed, 429 is
    an overload). With one, that code alone is up; others are down from 500 on, else degraded.
    """
    said = f"the answer is {_named(code)}"
    if code == expected or (expected is None and _OK <= code < _REDIRECT):
        return Verdict("up", said)
    if expected is not None:
        said += f", not {_named(expected)}"
    elif _REDIRECT <= code < _CLIENT_ERROR:
        said += ", a redirect that is not followed"
    return Verdict("down" if code >= _SERVER_ERROR else "degraded", said, "status")


def _named(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def worse(first: Verdict, *others: Verdict) -> Verdict:
    """Return the worst verdict, the earliest of equals, with the components of all of them.

    A component that several name has the worst of its states.
    """
    worst = max((first, *others), key=lambda verdict: RANKS[verdict.state])
    if all(not verdict.components or verdict is worst for verdict in (first, *others)):
        return worst
    named = ((part.name, part.state) for verdict in (first, *others) for part in verdict.components)
    return replace(worst, components=gathered(named))


def gathered(named: Iterable[tuple[str, State]]) -> tuple[Component, ...]:
    """Return the components of these names and states: one a name, the worst first, at most MOST_COMPONENTS."""
    states: dict[str, State] = {}
    for name, state in named:
        known = states.get(name)
        if known is None or RANKS[state] > RANKS[known]:
            states[name] = state
    ordered = sorted(states.items(), key=lambda part: (-RANKS[part[1]], part[0]))
    return tuple(Component(name, state) for name, state in ordered[:MOST_COMPONENTS])


def slowed(reading: Reading, slow_after: float | None) -> Reading:
    """Return the reading; degraded if it was up and took longer than `slow_after` seconds. None: slow is no fault."""
    if slow_after is None or reading.state != "up" or not reading.duration > slow_after:
        return reading
    reason = f"slow: {reading.duration:.3f} s, more than {slow_after:g} s; {reading.reason}"
    return replace(reading, state="degraded", cause="slow", reason=reason)
