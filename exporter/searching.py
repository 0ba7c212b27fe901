"""Searches that may take long, apart from the loop: RE2 never hangs, yet a minute is too long for all others.

Its time grows with the text and, where it has to follow many states at once, with the pattern too: `(a?){1000}b` takes
a minute over a MiB. RE2 lets other threads run meanwhile, and cannot be cut off.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from exporter import patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

AT_ONCE: Final = 2
"""Searches at once: one that goes on after its deadline keeps its thread."""
QUICK: Final = 3_000_000
"""Steps of a search that is made at once: a tenth of a second at worst, at 30 ns each (measured)."""

Found = TypeVar("Found")


class _Job(Generic[Found]):
    """Something to do, until nobody waits for it any more: what it holds may be large."""

    def __init__(self, work: Callable[[], Found]) -> None:
        self.work: Callable[[], Found] | None = work
        self.future: Future[Found] = Future()

    def do(self) -> None:
        """Do it, on a thread of this module."""
        work = self.work
        if work is None or not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            self.future.set_exception(error)
        self.work = None


_jobs: Final[SimpleQueue[_Job[object]]] = SimpleQueue()
_threads: Final[list[threading.Thread]] = []


def effort(texts: Iterable[str]) -> int:
    """Return the steps that searching for these patterns takes for each byte at worst; ValueError where one is none."""
    return sum(patterns.compiled(text).programsize for text in texts)


async def apart(work: Callable[[], Found], steps: int, seconds: float) -> Found:
    """Return what `work` returns, which takes so many steps: at once, or on a thread where that may take long.

    TimeoutError when it is not done in `seconds`: then it is not begun any more, or goes on unheard.
    """
    if steps <= QUICK:
        return work()
    job = _Job(work)
    _jobs.put(job)  # type: ignore[arg-type] # nobody reads what another job found
    if len(_threads) < AT_ONCE:
        # Daemons, since the end of the program must not wait for a search.
        _threads.append(threading.Thread(target=_serve, name="searching", daemon=True))
        _threads[-1].start()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(job.future)
    finally:
        job.work = None


def _serve() -> None:
    while True:
        _jobs.get().do()
