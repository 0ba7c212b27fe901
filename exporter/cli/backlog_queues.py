"""Which queue a `backlog` command means, and what is done with the items of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.bridge.options import BUILT_IN, DEFAULT, NOTIFICATIONS, notify_identities
from exporter.cli import data
from exporter.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.config import Configuration
    from exporter.config.options import Choice
    from exporter.model import Mode
    from exporter.store.backlog import BacklogItem


def named(configuration: Configuration, given: str | None) -> str:
    """Return the queue to change: the one given, `backlog.queue`, the only one that is configured, or `default`.

    ConfigurationError for one that is not configured, or that is Watchbridge's own.
    """
    if given is None:
        given = configuration.backlog.queue or _only(configuration)
    if given in BUILT_IN:
        raise ConfigurationError(
            reason=f"The queue {given!r} is filled by Watchbridge itself: name one of yours with --queue."
        )
    if given != DEFAULT and given not in configuration.queues:
        raise unknown(given, [*configuration.queues, DEFAULT])
    return given


def _only(configuration: Configuration) -> str:
    return next(iter(configuration.queues)) if len(configuration.queues) == 1 else DEFAULT


def sought(configuration: Configuration, given: str, stored: Iterable[str]) -> str:
    """Return a queue to look at: a configured one, one of Watchbridge's own, or one that still has items."""
    known = [*configuration.queues, *BUILT_IN, DEFAULT, *stored]
    if given not in known:
        raise unknown(given, known)
    return given


def unknown(name: str, known: Iterable[str]) -> ConfigurationError:
    """Return the error for a queue that nobody knows, with the nearest."""
    from exporter.config.mistakes import nearest, shown

    near = nearest(name, known) or "; add it below `queues`, or name another with --queue"
    return ConfigurationError(reason=f"There is no queue {shown(name)}{near}{'' if near.endswith('?') else '.'}")


def action_of(configuration: Configuration, item: BacklogItem) -> Choice | None:
    """Return what is done for an item; None where it waits for a person."""
    if item.queue == NOTIFICATIONS:
        wanted = item.context.get("notify")
        named = zip(notify_identities(configuration.notify), configuration.notify, strict=True)
        told: Choice | None = next((one.action for identity, one in named if identity == wanted), None)
        return told
    return action(configuration, item.queue)


def action(configuration: Configuration, queue: str) -> Choice | None:
    """Return the action of a queue, or None."""
    options = configuration.queues.get(queue)
    found: Choice | None = None if options is None else options.action
    return found


def mode(configuration: Configuration, queue: str) -> Mode:
    """Return how far a queue may go: of the global mode and its own the stricter."""
    from exporter.policy import stricter

    options = configuration.queues.get(queue)
    own: Any = None if options is None else options.mode
    given: Any = configuration.mode or "observe"
    return stricter(given, own or "auto")


def tell_unrun(configuration: Configuration, queues: Iterable[str]) -> None:
    """Say of queues with an action, where items just became ready, that the server will not run them for now."""
    for queue in sorted(set(queues)):
        if action(configuration, queue) is not None and mode(configuration, queue) == "observe":
            data.tell(
                f"`mode` is observe: the server runs nothing of the queue {queue} until that changes; "
                "`watchbridge backlog process --no-test` does."
            )
