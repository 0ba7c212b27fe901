"""One run of a claimed item: act, verify, and say what becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from exporter import acting, probing
from exporter.logs import REDACTION
from exporter.model import Done, GiveUp
from exporter.restarting.attempt import Ground, attempted, judged
from exporter.store.action_runs import Ended
from exporter.store.backlog_claims import Finish
from exporter.store.restart_facts import CAUSED
from exporter.worker import endings, restart_books, restart_endings
from exporter.worker.books import Recorded
from exporter.worker.lease_books import ACTIONS_OF_NOBODY, fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.model import ActionParts, Clock, Outcome, ProbeParts, Reading
    from exporter.restarting.attempt import Attempt
    from exporter.restarting.strategy import Strategy
    from exporter.restarting.surroundings import Surroundings
    from exporter.store.backlog_rows import BacklogItem
    from exporter.worker.queues import Deed, Queue

log: Final = logging.getLogger("exporter.worker")

STOPPED_PATIENCE: Final = 5.0
"""Seconds that a service whose restart we stopped ourselves gets to be well: the program is about to end."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What actions, restarts and probes may use; `store` is where the leases are."""

    clock: Clock
    acting: ActionParts
    probing: ProbeParts
    around: Surroundings
    store: str = ""


@dataclass(slots=True)
class Run:
    """A claimed item in this process. `until` is when its lease ends, by our monotonic clock, in seconds.

    `queue` is None where the item's is no longer worked off. `kind` is that of the action; `taken` says that somebody
    else began the run. `stopped` is why we stopped it ourselves, `lost` that the item is somebody else's by now.
    Of a restart, `strategy` says how, `fence` is the number of the service's lease, `hung` says that it waited for
    another service, and `holds` whether the lease lasts long enough to begin something.
    """

    item: BacklogItem
    queue: Queue | None
    deed: Deed | None
    until: float
    kind: str = ACTIONS_OF_NOBODY
    taken: bool = False
    stopped: str | None = None
    lost: bool = False
    strategy: Strategy | None = None
    fence: int = 0
    hung: bool = False
    holds: Callable[[], bool] = field(default=lambda: True, repr=False)
    ended: Recorded | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def acts(self) -> bool:
        """Whether something of it runs still."""
        return self.task is not None and not self.task.done()

    def stop(self, why: str, *, lost: bool = False) -> None:
        """Stop it: nothing of it runs on once its task has ended. One that is lost is not ours to write about."""
        self.lost = self.lost or lost
        if self.stopped is None or lost:
            self.stopped = self.stopped or why
            if self.task is not None:
                self.task.cancel()


async def performed(run: Run, tools: Tools) -> Recorded | None:
    """Run the item's action, or judge one whose end nobody saw; return what to write, None for one that is lost."""
    try:
        if run.strategy is not None and not run.taken:
            return await _restarted(run, run.strategy, tools)
        return await (_judged(run, tools) if run.taken else _acted(run, tools))
    except asyncio.CancelledError:
        if run.stopped is None:
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    except Exception as error:  # nobody foresaw it: the item must not be lost for that
        log.exception("a run broke off", extra={"fields": fields(run.item)})
        run.stopped = f"it broke off with {type(error).__name__}"
    return None if run.lost else await _judged(run, tools)


async def _acted(run: Run, tools: Tools) -> Recorded:
    deed, queue, item = run.deed, run.queue, run.item
    assert queue is not None  # noqa: S101 -- only a takeover has none
    outcome: Outcome
    if deed is None:
        outcome, seconds = GiveUp("its entry of `notify` is gone from the configuration"), 0.0
    else:
        outcome, seconds = await acting.run(deed.kind, deed.options, item.item, tools.acting, deed.timeout)
    verified = await _verified(queue, tools) if isinstance(outcome, Done) else None
    now = tools.clock.time()
    ending = endings.ended(outcome, verified, item.attempts, queue, now)
    explanation = REDACTION.apply(ending.explanation)
    told = Ended(item.id, item.fence, ending.outcome, explanation, outcome.output, now)
    return Recorded(Finish(item, ending.state, explanation, ending.at, told), run.kind, seconds)


async def _restarted(run: Run, strategy: Strategy, tools: Tools) -> Recorded:
    began = tools.clock.monotonic()
    attempt = await attempted(strategy, run.item.item, _ground(run, tools), _patience(run, strategy))
    return await _of_restart(run, strategy, attempt, tools, tools.clock.monotonic() - began)


def _patience(run: Run, strategy: Strategy) -> float | None:
    """Return for how long it is looked whether a service is up before it is restarted; None: not at all."""
    if run.item.origin not in CAUSED:
        return None
    return strategy.timing.verify_timeout if run.hung else 0.0


def _ground(run: Run, tools: Tools) -> Ground:
    return Ground(tools.clock, tools.acting, tools.probing, tools.store, run.fence, run.holds)


async def _of_restart(run: Run, strategy: Strategy, attempt: Attempt, tools: Tools, seconds: float | None) -> Recorded:
    """Return what to write of a restart; where it helped, its alarm is cleared first."""
    item, alarms = run.item, tools.around.alarms
    if attempt.verified and alarms is not None and (problems := await alarms.clear(strategy.service)):
        attempt = replace(attempt, detail=f"{attempt.detail}; but {'; '.join(problems)}")
    attempt = replace(attempt, detail=REDACTION.apply(attempt.detail))
    now = tools.clock.time()
    ending = restart_endings.ended(attempt, item, strategy.timing, now)
    told = None if run.taken else Ended(item.id, item.fence, ending.outcome, ending.explanation, attempt.output, now)
    counts = attempt.verified is not None
    finish = Finish(item, ending.state, ending.explanation, ending.at, told, counts)
    return Recorded(finish, run.kind, seconds, restart=restart_books.Ended(item, strategy, attempt))


async def _judged_restart(run: Run, strategy: Strategy, tools: Tools) -> Recorded:
    """Judge a restart that nobody saw end: how the service is says whether it is tried again."""
    limit = STOPPED_PATIENCE if run.stopped else strategy.timing.verify_timeout
    seen = await judged(strategy, _ground(run, tools), min(limit, strategy.timing.verify_timeout))
    why = f"{endings.UNSEEN} ({run.stopped})" if run.stopped else endings.UNSEEN
    how = seen.detail.removeprefix("restarted and verified: ").removeprefix("restarted, but ")
    attempt = replace(seen, word="interrupted", detail=f"{why}; {how}", acted=None)
    return await _of_restart(run, strategy, attempt, tools, None)


async def _judged(run: Run, tools: Tools) -> Recorded:
    """Judge an item whose run nobody saw end: by the probe that verifies, or by the rule of its queue."""
    if run.strategy is not None:
        return await _judged_restart(run, run.strategy, tools)
    item, queue = run.item, run.queue
    verified = await _verified(queue, tools) if queue is not None else None
    now = tools.clock.time()
    ending = endings.interrupted(verified, item.attempts, queue, now)
    why = f"{ending.explanation} ({run.stopped})" if run.stopped else ending.explanation
    explanation = REDACTION.apply(why)
    told = None if run.taken else Ended(item.id, item.fence, "interrupted", explanation, "", now)
    return Recorded(Finish(item, ending.state, explanation, ending.at, told), run.kind, None)


async def _verified(queue: Queue, tools: Tools) -> Reading | None:
    verify = queue.verify
    if verify is None:
        return None
    return await probing.run(verify.kind, verify.options, tools.probing, verify.timeout)


class Pace:
    """How many items of a queue may begin now: so many at once, and so many in a time."""

    def __init__(self) -> None:
        self._begun: deque[float] = deque()

    def free(self, queue: Queue, running: int, now: float) -> int:
        """Return how many may begin; `now` is monotonic, in seconds."""
        places = queue.concurrency - running
        if queue.rate is None:
            return max(0, places)
        items, per = queue.rate
        while self._begun and self._begun[0] <= now - per:
            self._begun.popleft()
        return max(0, min(places, items - len(self._begun)))

    def begin(self, queue: Queue, count: int, now: float) -> None:
        """Note that items begin."""
        if queue.rate is not None:
            self._begun.extend([now] * count)

    def wait(self, queue: Queue, now: float) -> float | None:
        """Return in how many seconds the rate lets the next one begin; None where the rate does not bar it."""
        if queue.rate is None or len(self._begun) < queue.rate[0]:
            return None
        return max(0.0, self._begun[0] + queue.rate[1] - now)
