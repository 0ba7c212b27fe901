"""One run of an action, whatever its kind: always an outcome, in time, never an exception."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from exporter import kinds
from exporter.errors import UnknownKindError
from exporter.guard import Guard
from exporter.handover import MARGIN, OUTPUT
from exporter.labels import encodable
from exporter.logs import REDACTION
from exporter.model import Done, GiveUp, Outcome, Plan, Retry
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from exporter.model import ActionParts, Clock, Item

log: Final = logging.getLogger(__name__)

GRACE: Final = 8.0
"""Seconds after its timeout at which a run that did not end is cancelled, and again at which it is left behind.

The end of a killed program, and of its output, may take seconds.
"""
LONGEST_AFTER: Final = 86_400.0
"""Seconds that a kind can have a further attempt wait."""

_LONGEST_DETAIL: Final = 2000
"""Characters of a detail or of a plan's sentence that are kept: they are logged, stored and shown."""
_DEEPEST: Final = 20
_TOLD_AT_MOST: Final = 100
_told: Final[set[tuple[str, str]]] = set()
_running: Final[set[asyncio.Task[Outcome]]] = set()


@dataclass(frozen=True, slots=True)
class Parts:
    """What an action may use: see `exporter.model.ActionParts`. `permits` judges numeric addresses."""

    clock: Clock
    mail: Any = None
    alertmanager: Any = None
    permits: Callable[[str], bool] = Guard.configured


async def run(kind: str, options: Any, item: Item, parts: ActionParts, timeout: float) -> tuple[Outcome, float]:
    """Run an action once and return how it ended and the seconds it took: never raises, but for a cancellation.

    What comes back may be stored and shown: it holds no known secret, and its texts are printable and bounded. A kind
    that does not end within `timeout` seconds is cancelled `GRACE` seconds later.
    """
    began = parts.clock.monotonic()

    async def act() -> Any:
        return await kinds.load("actions", kind).act(options, item, parts, timeout)

    outcome = await within(act, f"action of the kind {kind!r}", timeout)
    return outcome, parts.clock.monotonic() - began


async def within(call: Callable[[], Awaitable[Any]], what: str, timeout: float) -> Outcome:
    """Return how a deed of a kind (`what` it is, in words) ended: in time, never an exception, as `run` says."""
    task = asyncio.ensure_future(_called(call, what))
    _running.add(task)
    task.add_done_callback(_ended)
    try:
        await asyncio.wait({task}, timeout=timeout + GRACE)
    finally:
        # Late, or we are cancelled. What takes no notice of it is left behind: others wait for this place.
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE)
    if task.done() and not task.cancelled():
        outcome = task.result()
    else:
        outcome = Retry(f"did not end within {timeout:g} s and was cancelled")
    return _shown(outcome)


async def _called(call: Callable[[], Awaitable[Any]], what: str) -> Outcome:
    """Return how the kind says that it ended, or what it means that it did not say."""
    try:
        outcome = await call()
    except UnknownKindError as error:
        return GiveUp(str(error))
    except Exception as error:  # noqa: BLE001 - a third party's kind may raise anything
        return Retry(_unexpected(what, error))
    if isinstance(outcome, Done | Retry | GiveUp):
        return outcome
    # Whether it was done, nobody knows: a further attempt would not say more.
    return GiveUp(_unexpected(what, TypeError(f"a {type(outcome).__name__} instead of an outcome")))


def _ended(task: asyncio.Task[Outcome]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()


def plan(kind: str, options: Any, item: Item) -> Plan | str:
    """Return what a run would do, without known secrets; a sentence where that cannot be said. Never raises."""
    try:
        found = kinds.load("actions", kind).plan(options, item)
    except (UnknownKindError, PlaceholderError) as error:
        return _line(str(error))
    except Exception as error:  # noqa: BLE001 - a third party's kind may raise anything
        return _line(_unexpected(f"action of the kind {kind!r}", error))
    return shown(found, f"action of the kind {kind!r}")


def shown(found: Any, what: str) -> Plan | str:
    """Return a plan of a kind (`what` it is, in words) as everybody may see it, a sentence where it is none."""
    if not isinstance(found, Plan):
        return _line(_unexpected(what, TypeError(f"a {type(found).__name__} instead of a plan")))
    return Plan(_line(found.sentence), _clean(dict(found.details)))


def _shown(outcome: Outcome) -> Outcome:
    """Return an outcome as everybody may see it: what a program says is in it, and a program may say anything."""
    found = replace(outcome, detail=_line(str(outcome.detail)), output=printable(str(outcome.output)))
    if isinstance(found, Retry) and found.after is not None:
        is_time = isinstance(found.after, int | float) and math.isfinite(found.after) and found.after >= 0
        return replace(found, after=min(float(found.after), LONGEST_AFTER) if is_time else None)
    return found


def _line(text: str) -> str:
    """Return a text without known secrets, on one line that is not too long."""
    clean = REDACTION.apply(text)
    clean = "".join(letter if letter.isprintable() else " " for letter in clean)
    return clean if len(clean) <= _LONGEST_DETAIL else clean[: _LONGEST_DETAIL - 1] + "…"


def printable(text: str) -> str:
    """Return an output without known secrets, of at most OUTPUT bytes of UTF-8; ends of lines and tabs stay.

    Of one that is longer the last bytes are left out before the cut: a secret may end there in its middle.
    """
    data = text.encode(errors="replace")
    clean = REDACTION.apply(text)
    if len(data) > OUTPUT:
        clean = clean[: max(0, len(clean) - MARGIN)]
    clean = "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in clean)
    return clean.encode()[:OUTPUT].decode(errors="ignore")


def _clean(value: Any, depth: int = 0) -> Any:
    """Return a value of a plan as JSON can hold it, without known secrets."""
    if isinstance(value, str):
        return REDACTION.apply(encodable(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_clean(str(name)): _clean(one, depth + 1) for name, one in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple):
        return [_clean(one, depth + 1) for one in value]
    return _clean(str(value))


def _unexpected(what: str, error: Exception) -> str:
    """Return a sentence about a run that broke, and log each way of breaking once: each item would repeat it."""
    way = (what, f"{type(error).__name__} {_place(error)}")
    if way not in _told and len(_told) < _TOLD_AT_MOST:
        _told.add(way)
        log.error("the %s broke off, which is a mistake in that kind", what, exc_info=error)
    return f"the {what.partition(' ')[0]} broke off with {type(error).__name__}: its log line has the place"


def _place(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback is not None else ""
