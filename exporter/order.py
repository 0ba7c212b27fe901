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
    done: dict[str, None] = {}
    for name in wanted:
        for one in _depth_first(name, parents):
            if one in wanted:
                done.setdefault(one)
    return tuple(done)


def _depth_first(name: str, parents: Parents) -> Iterator[str]:
    """Yield what a service needs before itself; the walk keeps its own stack, however long the chain is."""
    seen = {name}
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

    The furthest is named: it is mended first, and what hangs on it may then be well by itself.
    """
    for parent in reversed(ancestors(name, parents)):
        if (why := troubles.waiting.get(parent)) is not None:
            return f"{parent}, which it needs, is mended first: {why}"
        if (why := troubles.down.get(parent)) is not None:
            return f"{parent}, which it needs, is down: {why}"
    return None


def roots(failing: Collection[str], parents: Parents) -> frozenset[str]:
    """Return those of some failing services that need no other of them: what hangs on another fails because of it."""
    known = frozenset(failing)
    return frozenset(name for name in known if known.isdisjoint(ancestors(name, parents)))
