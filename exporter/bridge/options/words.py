"""Names of queues, and what options of several kinds say alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from exporter import matchers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Told: TypeAlias = tuple[tuple[str | int, ...], str]

RESTARTS: Final = "restarts"
"""The built-in queue of restarts."""
NOTIFICATIONS: Final = "notifications"
"""The built-in queue of what `notify` tells."""
DEFAULT: Final = "default"
"""The queue of the command line where the configuration has none, or several."""
BUILT_IN: Final = (RESTARTS, NOTIFICATIONS)
QUEUE_PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"

HOUR: Final = 3_600
DAY: Final = 86_400


def matcher_problems(texts: tuple[str, ...]) -> Iterator[Told]:
    """Yield what is wrong with the texts below `matchers`."""
    for index, text in enumerate(texts):
        try:
            if not matchers.parse(text):
                yield ("matchers", index), "holds no matcher, so it matches every alert: leave it out"
        except ValueError as error:
            yield ("matchers", index), str(error)


def unknown(noun: str, name: str, known: Mapping[str, Any]) -> str:
    """Return the mistake of a name that nobody knows, with the nearest."""
    from exporter.config.mistakes import nearest, shown  # noqa: PLC0415 - only a mistake needs it

    return f"there is no {noun} {shown(name)}{nearest(name, known) or f': add it below `{noun}s`'}"
