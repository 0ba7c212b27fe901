"""Who needs whom: what is mended first, and what waits for that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    Parents = Mapping[str, tuple[str, ...]]


def ancestors(name: str, parents: Parents) -> tuple[str, ...]:
    """Return all that a service needs, its parents and theirs, the nearest first, without names that nobody has."""
    found: dict[str, None] = {}
    level = [name]
    while level:
        level = [one for child in level for one in parents.get(child, ()) if one not in found and one in parents]
        level = [one for one in dict.fromkeys(level) if one != name]
        found |= dict.fromkeys(level)
    return tuple(found)


def sorted_by_need(names: Iterable[str], parents: Parents) -> tuple[str, ...]:
    """Return services so that each comes after all that it needs, else in the order in which they were given.

    A circle, which the configuration's check refuses, ends nowhere in an endless walk.
    """
    wanted = dict.fromkeys(names)
    return tuple(one for one in _in_order(wanted, parents) if one in wanted)


def _in_order(names: Iterable[str], parents: Parents) -> Iterator[str]:
    """Yield services and all that they need, each once and after its own needs.

    The walk keeps its own stack, however long a chain is.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            continue
        seen.add(name)
        stack = [(name, iter(parents.get(name, ())))]
        while stack:
            here, rest = stack[-1]
            following = next((one for one in rest if one not in seen and one in parents), None)
            if following is None:
                stack.pop()
                yield here
            else:
                seen.add(following)
                stack.append((following, iter(parents[following])))


@dataclass(frozen=True, slots=True)
class Troubles:
    """What is known of services now, each with the reason.

    `waiting` are those that are to be restarted, or are just being restarted; `down` those that a look just found down.
    """

    waiting: Mapping[str, str]
    down: Mapping[str, str]


def barred(name: str, parents: Parents, troubles: Troubles) -> str | None:
    """Return why a service has to wait for one that it needs, None where it need not.

    The one is named that needs none of the others: it is mended first, and what hangs on it may then be well by itself.
    """
    for parent in sorted_by_need(ancestors(name, parents), parents):
        if (why := troubles.waiting.get(parent)) is not None:
            return f"{parent}, which it needs, is mended first: {why}"
        if (why := troubles.down.get(parent)) is not None:
            return f"{parent}, which it needs, is down: {why}"
    return None


def roots(failing: Collection[str], parents: Parents) -> frozenset[str]:
    """Return those of some failing services that need no other of them: what hangs on another fails because of it."""
    known = frozenset(failing)
    below: set[str] = set()
    # Each comes after all that it needs, so that of those it is known already whether one of them fails.
    for name in _in_order(known, parents):
        if any(one in known or one in below for one in parents.get(name, ()) if one in parents):
            below.add(name)
    return known - below
