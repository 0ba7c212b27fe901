"""One attempt to restart a service: look, prepare, restart, wait, judge. It never raises, but for a cancellation."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from exporter import acting, fences, handover, kinds, probing, processes, programs
from exporter.errors import ProcessNotStartedError, UnknownKindError, WatchbridgeError
from exporter.model import Done, GiveUp, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.model import Clock, Item, ProbeParts, RestartParts
    from exporter.restarting.strategy import Check, Strategy
    from exporter.store.action_runs import RunOutcome

log: Final = logging.getLogger("exporter.restarts")

FENCE_SECONDS: Final = 5.0
"""How long another restart of the service on this host is waited for, whose replica lost its lease."""
POLL: Final = 0.5
"""Seconds between two looks while it is judged."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended, in one word and a sentence; `output` is what the restart said.

    `acted` says whether anything was restarted; None: nobody saw. `verified` says whether the service was seen well
    afterwards; None: it was well before, or we were in the way, which says nothing of the service.
    """

    word: RunOutcome
    detail: str
    output: str = ""
    acted: bool | None = True
    verified: bool | None = False


@dataclass(frozen=True, slots=True)
class Ground:
    """What an attempt stands on. `fence` is the number of the service's lease, `store` where that is.

    `holds` says whether the lease lasts still: asked just before anything is restarted.
    """

    clock: Clock
    acting: RestartParts
    probing: ProbeParts
    store: str
    fence: int
    holds: Callable[[], bool]


async def attempted(strategy: Strategy, item: Item, ground: Ground, patience: float | None) -> Attempt:
    """Make one attempt; a service that its own probe finds up within `patience` seconds is left alone.

    Where that is None nobody looks first: a person wants it restarted however it is.
    """
    attempt = await _fenced(strategy, item, ground, patience)
    if attempt is None:
        attempt = await judged(strategy, ground, strategy.timing.verify_timeout)
    if attempt.verified:
        log.info("RESTART LOG: Successfully restarted and verified service: %s", strategy.service)
    return attempt


async def _up(probe: Check, ground: Ground, patience: float) -> Reading:
    """Look until the service is up, or for `patience` seconds: what hung on another one may need a moment."""
    until = ground.clock.monotonic() + patience
    while True:
        reading = await _probed(probe, ground, probe.timeout)
        left = until - ground.clock.monotonic()
        if reading.state == "up" or left <= 0:
            return reading
        await asyncio.sleep(min(POLL, left))


async def _fenced(strategy: Strategy, item: Item, ground: Ground, patience: float | None) -> Attempt | None:
    """Look, prepare and restart, alone on this host; return how that ended, None where it is to be judged."""
    if not strategy.on_host:
        return await _alone(strategy, item, ground, patience, is_fenced=_fact(strategy, "FENCES"))
    try:
        async with fences.held(strategy.service, ground.fence, store=ground.store, seconds=FENCE_SECONDS) as is_fenced:
            return await _alone(strategy, item, ground, patience, is_fenced=is_fenced)
    except WatchbridgeError as error:
        return Attempt("retry", f"nothing was restarted: {_inside(error)}", acted=False, verified=None)


async def _alone(
    strategy: Strategy, item: Item, ground: Ground, patience: float | None, *, is_fenced: bool
) -> Attempt | None:
    """Look only now: who had the fence until now may have mended it."""
    if patience is not None and strategy.probe is not None and strategy.timing.check:
        reading = await _up(strategy.probe, ground, patience)
        if reading.state == "up":
            return Attempt("healthy", f"nothing was restarted: it is up: {reading.reason}", acted=False, verified=None)
    told = {"fence": ground.fence, "fenced": "yes" if is_fenced else "no"}
    log.info(
        "RESTART LOG: Beginning restart procedure for %s (strategy: %s)",
        strategy.service,
        strategy.kind,
        extra={"fields": told},
    )
    return await _restarted(strategy, item, ground)


async def _restarted(strategy: Strategy, item: Item, ground: Ground) -> Attempt | None:
    if (problem := await _prepared(strategy)) is not None:
        return Attempt("retry", f"nothing was restarted: {problem[0]}", problem[1], acted=False)
    if not ground.holds():
        return Attempt("retry", "nothing was restarted: its lease was about to end", acted=False, verified=None)
    timeout = strategy.timing.timeout

    async def carry_out() -> Any:
        return await kinds.load("restarts", strategy.kind).restart(strategy.options, item, ground.acting, timeout)

    outcome = await acting.within(carry_out, f"restart of the kind {strategy.kind!r}", timeout)
    if isinstance(outcome, Done):
        await asyncio.sleep(strategy.timing.delay)
        return None
    return Attempt("give_up" if isinstance(outcome, GiveUp) else "retry", outcome.detail, outcome.output)


async def _prepared(strategy: Strategy) -> tuple[str, str] | None:
    """Run what has to run before; return why nothing may be restarted, and what it said."""
    argv, timeout = strategy.timing.before, strategy.timing.before_timeout
    if not argv:
        return None
    try:
        limit = handover.OUTPUT + handover.MARGIN
        finished = await processes.run(argv, timeout=timeout, dies_with_us=True, output_limit=limit)
    except ProcessNotStartedError as error:
        return _inside(error), ""
    output = acting.printable(finished.output.decode(errors="replace"))
    if finished.timed_out:
        return f"what runs before it did not end within {timeout:g} s", output
    if finished.code != 0:
        said = programs.ended(finished.code) + programs.quoted(finished.output)
        return f"what runs before it says no ({said})", output
    return None


def _inside(error: Exception) -> str:
    """Return what an error says as a part of a sentence."""
    text = str(error).rstrip(".")
    return text[:1].lower() + text[1:]


async def judged(strategy: Strategy, ground: Ground, patience: float) -> Attempt:
    """Look until it is well, or for `patience` seconds."""
    until = ground.clock.monotonic() + patience
    while True:
        left = until - ground.clock.monotonic()
        reading = await looked_at(strategy, ground, max(left, POLL))
        left = until - ground.clock.monotonic()
        if reading.success:
            return Attempt("done", f"restarted and verified: it is {reading.state}: {reading.reason}", verified=True)
        if left <= 0:
            said = f"restarted, but it is {reading.state}: {reading.reason}"
            return Attempt("unverified", said)
        await asyncio.sleep(min(POLL, left))


async def looked_at(strategy: Strategy, ground: Ground, patience: float) -> Reading:
    """Return how a service is: as its strategy sees it, and where that is well as the probe that verifies does."""
    reading: Reading | None = None
    if _fact(strategy, "VERIFIES"):
        look = partial(kinds.load("restarts", strategy.kind).verify, strategy.options, ground.acting, patience)
        reading = await probing.asked(look, f"restart of the kind {strategy.kind!r}", ground.clock, patience)
    if strategy.verify is not None and (reading is None or reading.success):
        reading = await _probed(strategy.verify, ground, min(strategy.verify.timeout, patience))
    return reading or Reading("unknown", "nobody can say how it is: give `verify`, or a `probe`", 0.0, "config")


def _fact(strategy: Strategy, name: str) -> bool:
    """Return what the module of a kind says of itself; one that cannot be loaded says nothing."""
    try:
        return bool(getattr(kinds.load("restarts", strategy.kind), name, False))
    except (UnknownKindError, ImportError):
        return False


async def _probed(check: Check, ground: Ground, timeout: float) -> Reading:
    return await probing.run(check.kind, check.options, ground.probing, timeout)
