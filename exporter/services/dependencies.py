"""Who needs whom among the services of the file: parents that are not there, and circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.config.mistakes import nearest, shown
from exporter.config.unread import NotReadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHOWN: Final = 10
"""Services of a circle that a message names."""
_HINTS: Final = 10
"""Unknown parents for which the nearest name is looked for: each look goes through all names."""


def problems(configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each parent that is not known, and each circle once; the path begins at the top of the file."""
    parents = {name: _parents(service) for name, service in configuration.services.items()}
    hints = _HINTS
    for name, needed in parents.items():
        for index, parent in enumerate(needed):
            path = ("services", name, "depends_on", index)
            if parent == name:
                yield path, "a service cannot depend on itself: leave it out"
            elif parent not in parents:
                hint = nearest(parent, parents) if hints > 0 else ""
                hints -= 1
                yield path, f"there is no service {shown(parent)}{hint or ': add it below `services`, or leave it out'}"
    for circle in _circles(parents):
        index = parents[circle[-1]].index(circle[0])
        way = " -> ".join((*circle[:_SHOWN], *(("…",) if len(circle) > _SHOWN else ()), circle[0]))
        sentence = f"these services wait for each other in a circle: {way}; take one of them out"
        yield ("services", circle[-1], "depends_on", index), sentence


def _parents(service: Any) -> tuple[str, ...]:
    try:
        found: tuple[str, ...] = service.depends_on
    except NotReadError:  # it has mistakes of its own
        return ()
    return found


def _circles(parents: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield the circles that a walk through all services meets; a service alone is none.

    The walk keeps its own stack: a chain of ten thousand services is no deeper than one of two.
    """
    done: set[str] = set()
    for start in parents:
        way: list[str] = []
        here: dict[str, int] = {}
        stack = [(start, iter((start,)))]
        while stack:
            word = next(stack[-1][1], None)
            if word is None:
                _, _ = stack.pop()
                if way and stack:
                    done.add(last := way.pop())
                    del here[last]
            elif word in here:
                if here[word] < len(way) - 1:
                    yield tuple(way[here[word] :])
            elif word in parents and word not in done:
                here[word] = len(way)
                way.append(word)
                stack.append((word, iter(parents[word])))
