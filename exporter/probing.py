"""One run of a probe, whatever its kind: always a reading, in time, never an exception."""

from __future__ import annotations

import asyncio
import errno
import logging
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from exporter import kinds
from exporter.errors import UnknownKindError
from exporter.labels import encodable
from exporter.logs import REDACTION
from exporter.model import Reading
from exporter.verdict import slowed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import ModuleType

    from exporter.model import Clock, ProbeParts, Samples

log: Final = logging.getLogger(__name__)

GRACE: Final = 1.0
"""Seconds after its timeout at which a kind that did not keep it is cancelled."""

_LONGEST_REASON: Final = 2000
"""Characters of a reason that are kept: it is logged, stored and shown."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})
"""What is missing then is ours, and says nothing of the service."""
_TOLD_AT_MOST: Final = 100
_told: Final[set[tuple[str, str]]] = set()


def _unheard(_step: str) -> None:
    """Throw a step away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a probe may use: see `exporter.model.ProbeParts`. `permits` judges addresses, `tell` hears the steps."""

    wire: Any
    databases: Mapping[str, Any]
    clock: Clock
    permits: Callable[[str], bool]
    tell: Callable[[str], None] = field(default=_unheard)

    @property
    def hears(self) -> bool:
        """Whether anybody hears the steps: a kind may spare itself what it would tell nobody."""
        return self.tell is not _unheard

    def allows(self, address: str) -> bool:
        """Return whether a numeric address may be connected to."""
        return self.permits(address)

    def explain(self, step: str) -> None:
        """Take a sentence about what the probe does now."""
        self.tell(step)


@cache
def kind(word: str) -> ModuleType:
    """Return the module of a kind of probe; UnknownKindError names the nearest known word."""
    return kinds.load("probes", word)


async def run(word: str, options: Any, parts: ProbeParts, timeout: float, slow_after: float | None = None) -> Reading:
    """Run a probe once and return what it found: never raises, but for a cancellation.

    A kind with `KEEPS_DEADLINE = True` ends within `timeout` seconds by itself, which spares a timer for each run; any
    other is cancelled `GRACE` seconds later. A run that takes longer than `slow_after` seconds is at best degraded:
    None is the kind's own time.
    """
    try:
        module = kind(word)
        if getattr(module, "KEEPS_DEADLINE", False):
            reading = await module.probe(options, parts, timeout)
        else:
            reading = await _in_time(module, options, parts, timeout)
        if not isinstance(reading, Reading):
            return _unexpected(word, TypeError(f"a {type(reading).__name__} instead of a Reading"))
        return slowed(_shown(reading), module.SLOW_AFTER if slow_after is None else slow_after)
    except UnknownKindError as error:
        return Reading("unknown", str(error), 0.0, "config")
    except OSError as error:
        if error.errno in _EXHAUSTED:
            return Reading("unknown", f"this system has no more for a probe: {error.strerror}", 0.0, "system")
        return _unexpected(word, error)
    except Exception as error:  # noqa: BLE001 - a third party's kind may raise anything, and one service must not stop the rest
        return _unexpected(word, error)


def _shown(reading: Reading) -> Reading:
    """Return the reading as everybody may see it.

    What a peer says is in it, and a peer may say anything: what we sent it, a text that no store takes. Without one it
    is as the kind made it, which is most of them.
    """
    if reading.state == "up" and not reading.components:
        return reading
    reason = REDACTION.apply(encodable(reading.reason[:_LONGEST_REASON]))
    components = tuple(
        one if (name := REDACTION.apply(one.name)) == one.name else replace(one, name=name)
        for one in reading.components
    )
    if reason == reading.reason and components == reading.components:
        return reading
    return replace(reading, reason=reason, components=components)


async def asked(call: Callable[[], Awaitable[Any]], what: str, clock: Clock, timeout: float) -> Reading:
    """Return what something else than a probe sees of a service (`what` it is, in words), as `run` does."""
    try:
        reading = await _called(call, clock, timeout)
        if not isinstance(reading, Reading):
            return _unexpected(what, TypeError(f"a {type(reading).__name__} instead of a Reading"))
        return _shown(reading)
    except Exception as error:  # noqa: BLE001 - a third party's kind may raise anything
        return _unexpected(what, error)


async def _in_time(module: ModuleType, options: Any, parts: ProbeParts, timeout: float) -> Any:
    return await _called(partial(module.probe, options, parts, timeout), parts.clock, timeout)


async def _called(call: Callable[[], Awaitable[Any]], clock: Clock, timeout: float) -> Any:
    began = clock.monotonic()
    deadline = asyncio.timeout(timeout + GRACE)
    try:
        async with deadline:
            return await call()
    except TimeoutError:
        if not deadline.expired():
            raise
    return Reading("down", f"no answer within {timeout:g} s", clock.monotonic() - began, "timeout")


def samples(word: str, reading: Reading) -> Samples:
    """Return what a kind shows of a reading at `/probe`; nothing of one that broke off. Never raises."""
    if reading.cause == "unexpected":
        return {}
    try:
        found: Samples = kind(word).samples(reading)
    except Exception as error:  # noqa: BLE001 - as above
        _unexpected(word, error)
        return {}
    return found


def _unexpected(word: str, error: Exception) -> Reading:
    """Return the reading of a run that broke, and log each way of breaking once: the loop would repeat it for ever."""
    way = (word, f"{type(error).__name__} {_place(error)}")
    if way not in _told and len(_told) < _TOLD_AT_MOST:
        _told.add(way)
        log.error("a probe of the kind %r broke off, which is a mistake in that kind", word, exc_info=error)
    reason = f"the probe broke off with {type(error).__name__}: its log line has the place"
    return Reading("unknown", reason, 0.0, "unexpected")


def _place(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback is not None else ""
