"""The thread of the wire: it polls, hands what happened to its connections, and their outcomes back in batches."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from exporter.wire.call import Outcome, WireError
from exporter.wire.deadlines import Deadlines
from exporter.wire.poller import READ, new_poller

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from exporter.wire.connection import Connection
    from exporter.wire.line import Line
    from exporter.wire.names import Names
    from exporter.wire.poller import Poller

TURN_SECONDS: Final = 0.001
"""How long new calls are taken up before what is under way gets its turn: a measured time is late by little more."""
HAND_SECONDS: Final = 0.005
"""How long an outcome waits for others that are under way: waking the program for each of them would cost more."""
CLOSED: Final = WireError("system", "the connections of probes are closed: the program is ending")


class Engine:
    """Connections, their deadlines and their poll. Only the methods that say so may be called from other threads."""

    def __init__(self, now: Callable[[], float], names: Names) -> None:
        self.now = now
        self.deadlines: Deadlines[Line] = Deadlines()
        self.finished: list[tuple[asyncio.Future[Outcome], Outcome]] = []
        self.lines: dict[int, Line] = {}
        self.poller: Poller = new_poller()
        self.names = names
        self._calls: deque[Connection] = deque()
        self._errands: deque[Callable[[], None]] = deque()
        self._asleep = False
        self._will_ring = False
        self._closing = False
        self._hand_at = 0.0
        self._ended: list[Callable[[], None]] = []
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)  # noqa: FBT003 - the call has no keyword
        self._ear.setblocking(False)  # noqa: FBT003 - the call has no keyword
        self.poller.register(self._ear.fileno(), READ)
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)

    # From other threads.

    def start(self) -> None:
        """Start the thread; RuntimeError when the system gives none."""
        try:
            self._thread.start()
        except RuntimeError:
            self._free()
            raise

    def submit(self, connection: Connection) -> bool:
        """Take a call, on the loop of its future; return whether the thread is there for it."""
        self._calls.append(connection)
        # Rung when the loop has done what else is due: two threads that run at once only wait for each other.
        if self._asleep and not self._will_ring:
            self._will_ring = True
            connection.future.get_loop().call_soon(self._ring_for_calls)
        return not self._closing

    def send(self, errand: Callable[[], None]) -> None:
        """Have something done on the thread, from any thread."""
        self._errands.append(errand)
        self._ring()

    def close(self, ended: Callable[[], None]) -> None:
        """End everything that is under way, and then the thread; `ended` is its last word. From any thread."""
        self._ended.append(ended)
        self._closing = True
        self._ring()

    @property
    def over(self) -> bool:
        """Whether it takes no call any more."""
        return self._closing

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, from any thread."""
        self._thread.join(seconds)

    def _ring_for_calls(self) -> None:
        self._will_ring = False
        self._ring()

    def _ring(self) -> None:
        # One ring for a burst: who finds the thread awake, or woken already, need not ring again.
        if self._asleep:
            self._asleep = False
            with suppress(OSError):  # full: it rings; closed: nobody is there
                self._bell.send(b"\0")

    # On the thread.

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            self._closing = True
            self._end_all()
            self._hand_back()
            self._free()
            for ended in self._ended:
                ended()

    def _turn(self) -> None:
        events = self.poller.poll(self._patience())
        now = self.now()
        self._asleep = False
        lines = self.lines
        for fd, mask in events:
            line = lines.get(fd)
            if line is not None:
                line.ready(mask, now)
            elif fd == self._ear.fileno():
                self._listen()
        while self._errands:
            self._errands.popleft()()
        for line in self.deadlines.late(now):
            line.late(now)
        self._take_up()
        if self.finished:
            self._hand_at = self._hand_at or now + HAND_SECONDS
            if now >= self._hand_at or not lines:
                self._hand_at = 0.0
                self._hand_back()

    def _patience(self) -> float | None:
        """Return how long the poll may last; from here on, who has something for the thread rings."""
        self._asleep = True
        if self._calls or self._errands or self._closing:
            self._asleep = False
            return 0.0
        now = self.now()
        wait = self.deadlines.wait(now)
        if self.finished:
            held = max(0.0, self._hand_at - now)
            return held if wait is None else min(wait, held)
        return wait

    def _listen(self) -> None:
        with suppress(OSError):
            self._ear.recv(4096)

    def _take_up(self) -> None:
        calls = self._calls
        if not calls:
            return
        until = self.now() + TURN_SECONDS
        while calls:
            connection = calls.popleft()
            if not connection.over and connection.begin(self) > until:
                break

    def _hand_back(self) -> None:
        finished, self.finished = self.finished, []
        batches: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
        for one in finished:
            batches.setdefault(one[0].get_loop(), []).append(one)
        for loop, batch in batches.items():
            with suppress(RuntimeError):  # that loop is closed: nobody waits there
                loop.call_soon_threadsafe(_deliver, batch)

    def _end_all(self) -> None:
        for line in list(self.deadlines):
            line.end(CLOSED)
        while self._calls:
            connection = self._calls.popleft()
            if not connection.over:
                self.finished.append((connection.future, Outcome(error=CLOSED)))

    def _free(self) -> None:
        self.poller.close()
        self._bell.close()
        self._ear.close()


def _deliver(batch: list[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in batch:
        if not future.done():
            future.set_result(outcome)
