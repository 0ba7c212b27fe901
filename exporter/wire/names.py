"""Names are looked up in few threads of their own: the system's resolver cannot be cut off, so it hangs only there."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.wire.addresses import Address, of_lookup
from exporter.wire.call import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS: Final = 32
"""Look-ups at once, hanging ones among them."""
DOUBTFUL_THREADS: Final = THREADS // 2
"""Look-ups at once of names that were slow the last time: a zone that hangs leaves the other half to the rest."""
SLOW_SECONDS: Final = 2.0
"""A look-up that took longer makes its name doubtful."""
WAITING: Final = 10_000
"""Names that may wait for a thread, and doubtful ones that are remembered: as many as probes may run at once."""
IDLE_SECONDS: Final = 30.0
"""A thread that had nothing to do for so long ends."""
_OURS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
"""Errors that say nothing of the name."""
_UNKNOWN: Final = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
}


@dataclass(slots=True, eq=False)
class Lookup:
    """One look-up of a name, for all who asked while it was under way. Times are in seconds, monotonic."""

    host: str
    started: float = 0.0
    ended: float = 0.0
    addresses: tuple[Address, ...] = ()
    error: WireError | None = None
    told: list[Callable[[Lookup], None]] = field(default_factory=list)
    doubtful: bool = False


class Names:
    """Looks names up. Its methods may be called from any thread, and never wait."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._under_way: dict[str, Lookup] = {}
        self._waiting: deque[Lookup] = deque()
        self._doubtful: deque[Lookup] = deque()
        self._slow: OrderedDict[str, None] = OrderedDict()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._on_doubtful = 0
        self._ended: Callable[[], None] | None = None

    def ask(self, host: str, told: Callable[[Lookup], None]) -> None:
        """Have `told` called with the look-up when it has ended, on a thread of this class; WireError when full."""
        with self._changed:
            lookup = self._under_way.get(host)
            if lookup is not None:
                lookup.told.append(told)
                return
            if self._ended or len(self._waiting) + len(self._doubtful) >= WAITING:
                raise WireError("resolve", "too many names wait to be looked up: see whether the name server answers")
            lookup = self._under_way[host] = Lookup(host, told=[told], doubtful=host in self._slow)
            queue = self._doubtful if lookup.doubtful else self._waiting
            queue.append(lookup)
            try:
                self._staff()
            except RuntimeError:
                if not self._threads:
                    del self._under_way[queue.pop().host]
                    raise WireError("system", "no thread can be started to look names up: raise the limits") from None

    def forget(self, host: str, told: Callable[[Lookup], None]) -> None:
        """Tell this one nothing any more; a look-up that nobody waits for is not begun."""
        with self._changed:
            lookup = self._under_way.get(host)
            if lookup is not None and told in lookup.told:
                lookup.told.remove(told)

    def close(self, ended: Callable[[], None]) -> list[threading.Thread]:
        """Begin no look-up any more and end the threads, which are returned; `ended` is told by the last of them.

        A thread whose look-up hangs ends with it.
        """
        with self._changed:
            self._ended = ended
            self._waiting.clear()
            self._doubtful.clear()
            self._under_way.clear()
            self._changed.notify_all()
            if not self._threads:
                ended()
            return list(self._threads)

    def _staff(self) -> None:
        if self._idle:
            self._changed.notify()
        if self._idle < self._ready() and len(self._threads) < THREADS:
            thread = threading.Thread(target=self._work, name="wire-names", daemon=True)
            thread.start()
            self._threads.add(thread)

    def _work(self) -> None:
        while (lookup := self._next()) is not None:
            lookup.started = self._now()
            try:
                lookup.addresses = of_lookup(socket.getaddrinfo(lookup.host, None, type=socket.SOCK_STREAM))
            except (OSError, ValueError) as error:  # ValueError: a NUL, or a label too long for IDNA
                lookup.error = _trouble(lookup.host, error)
            lookup.ended = self._now()
            for tell in self._settled(lookup):
                tell(lookup)

    def _settled(self, lookup: Lookup) -> list[Callable[[Lookup], None]]:
        """Note how a look-up went and return who is to be told."""
        with self._changed:
            if self._under_way.get(lookup.host) is lookup:
                del self._under_way[lookup.host]
            if lookup.doubtful:
                self._on_doubtful -= 1
            self._slow.pop(lookup.host, None)
            if lookup.ended - lookup.started > SLOW_SECONDS:
                self._slow[lookup.host] = None
                if len(self._slow) > WAITING:
                    self._slow.popitem(last=False)
            return lookup.told

    def _next(self) -> Lookup | None:
        """Return what to look up now; None when this thread is to end."""
        with self._changed:
            while not self._ended:
                lookup = self._taken()
                if lookup is not None:
                    return lookup
                self._idle += 1
                called = self._changed.wait(IDLE_SECONDS)
                self._idle -= 1
                if not called and not self._ready():
                    break
            self._threads.discard(threading.current_thread())
            if self._ended and not self._threads:
                self._ended()
            return None

    def _ready(self) -> int:
        """Return how many look-ups may begin now, if there are threads for them."""
        return len(self._waiting) + min(len(self._doubtful), DOUBTFUL_THREADS - self._on_doubtful)

    def _taken(self) -> Lookup | None:
        while self._ready():
            lookup = (self._waiting or self._doubtful).popleft()
            if lookup.told:
                self._on_doubtful += lookup.doubtful
                return lookup
            del self._under_way[lookup.host]
        return None


def _trouble(host: str, error: OSError | ValueError) -> WireError:
    # A gaierror has numbers of its own.
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno in _OURS:
        return WireError("system", f"the name {host!r} could not be looked up: {os.strerror(error.errno).lower()}")
    return WireError("resolve", _reason(host, error))


def _reason(host: str, error: OSError | ValueError) -> str:
    code = error.errno if isinstance(error, socket.gaierror) else None
    if code == socket.EAI_AGAIN:
        return f"the name server did not answer for the name {host!r}"
    if code in _UNKNOWN:
        return f"the name {host!r} is not known"
    words = getattr(error, "strerror", None)
    return f"the name {host!r} could not be looked up: {words or 'it is no name of a host'}"
