"""Waiting for many sockets at once: epoll where there is one, else what `selectors` finds (macOS, Windows)."""

from __future__ import annotations

import select
import selectors
import sys
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

READ: Final = 1
"""Wait for bytes, or for the end. These numbers are epoll's own."""
WRITE: Final = 4
"""Wait until something may be written."""
ERROR: Final = 8
"""Only told, never asked for: there may be an error on the socket."""
EVENTS: Final = 512
"""Sockets that one poll tells of at most: what is left comes with the next, in turn."""


class Poller(Protocol):
    """What the wire's thread needs. A mask is READ, WRITE or both; what is ready is told again until it is used up."""

    tells_answers: bool
    """Whether `await_connection` goes on to tell of the first bytes, once, so that no `modify` is needed for them."""

    def await_connection(self, fd: int) -> object:
        """Begin to watch a socket that is being connected: WRITE is told when it is."""
        ...

    def register(self, fd: int, mask: int) -> object:
        """Begin to watch a socket."""
        ...

    def modify(self, fd: int, mask: int) -> object:
        """Watch it for something else."""
        ...

    def forget(self, fd: int) -> None:
        """Cease to watch it: called just before it is closed."""
        ...

    def poll(self, timeout: float | None) -> Sequence[tuple[int, int]]:
        """Return (descriptor, mask) of what is ready, after `timeout` seconds at the latest; None waits for ever."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


class SelectorPoller:
    """The portable one."""

    tells_answers = False

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector or selectors.DefaultSelector()

    def await_connection(self, fd: int) -> None:
        """Begin to watch a socket that is being connected."""
        self._selector.register(fd, selectors.EVENT_WRITE)

    def register(self, fd: int, mask: int) -> None:
        """Begin to watch a socket."""
        self._selector.register(fd, _to_selectors(mask))

    def modify(self, fd: int, mask: int) -> None:
        """Watch it for something else."""
        self._selector.modify(fd, _to_selectors(mask))

    def forget(self, fd: int) -> None:
        """Cease to watch it."""
        self._selector.unregister(fd)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return what is ready."""
        return [(key.fd, _from_selectors(mask)) for key, mask in self._selector.select(timeout)]

    def close(self) -> None:
        """Watch nothing any more."""
        self._selector.close()


def _to_selectors(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


def _from_selectors(mask: int) -> int:
    # A selector does not tell errors apart: a connection that failed is writable too.
    return (READ if mask & selectors.EVENT_READ else 0) | (WRITE | ERROR if mask & selectors.EVENT_WRITE else 0)


if sys.platform == "linux":

    class EpollPoller:
        """Level-triggered: one read a turn is enough, and an endless sender cannot keep the thread to itself."""

        tells_answers = True

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.register = self._epoll.register
            self.modify = self._epoll.modify

        def await_connection(self, fd: int) -> None:
            """Begin to watch a socket that is being connected; edge-triggered, so that being writable is told once."""
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

        def forget(self, fd: int) -> None:
            """Do nothing: the system forgets a socket when it is closed."""

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            """Return what is ready."""
            return self._epoll.poll(timeout, EVENTS)

        def close(self) -> None:
            """Watch nothing any more."""
            self._epoll.close()


def new_poller() -> Poller:
    """Return the best poller of this system."""
    return EpollPoller() if sys.platform == "linux" else SelectorPoller()
