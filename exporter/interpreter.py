"""What a long-running process asks of the interpreter and the system, and how it ends when a thread hangs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

WORKERS: Final = 16
DESCRIPTORS: Final = 8192
"""Two listeners with 512 connections each already pass the usual soft limit of 1024."""

SWITCH_INTERVAL: Final = 0.001
"""Seconds after which a thread that renders gives way to the loop; Python's 5 ms add up when several do."""

LARGE: Final = 1024 * 1024
"""Bytes from which on a piece of memory goes back to the system when it is free: the body of a scrape is some."""
ARENAS: Final = 2
"""Heaps of glibc: each thread would have its own, with holes of its own. Python lets one thread allocate at a time."""
_MMAP_THRESHOLD: Final = -3  # malloc.h
_ARENA_MAX: Final = -8

PATIENCE: Final = 0.5
"""Seconds that threads get to end by themselves."""


class _Unwaited(ThreadPoolExecutor):
    """The loop's own threads; `asyncio.run` would wait for them, without a limit before Python 3.12."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def settle() -> None:
    """Make the running loop's process fit for a server: call it once, from the loop, before anything is started."""
    asyncio.get_running_loop().set_default_executor(_Unwaited(WORKERS, "shared"))
    sys.setswitchinterval(SWITCH_INTERVAL)
    _glibc("mallopt", _MMAP_THRESHOLD, LARGE)
    _glibc("mallopt", _ARENA_MAX, ARENAS)
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource  # noqa: PLC0415

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def affordable(connections: int) -> int:
    """Return how many connections at once this process can hold beside what it needs itself: half of its descriptors.

    The other half is for scrapes, databases and the store: probes must never take the place of who asks.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource  # noqa: PLC0415

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            return max(2, min(connections, soft // 2))
    return connections


def loaded() -> None:
    """Spare the collector of cycles what was just loaded and stays, and give back what loading it took.

    Call it after each load of a configuration. Else the collector looks at all of it again and again: a tenth of the
    CPU of 1,000 services, and pauses that grow with them.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _glibc("malloc_trim", 0)


def released() -> None:
    """Let the collector look at everything again: whoever runs us inside a longer life goes on with it."""
    gc.unfreeze()


def _glibc(name: str, *arguments: int) -> None:
    """Call a function of glibc, where that is the C library."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
            getattr(ctypes.CDLL(None), name)(*arguments)


def leave() -> None:
    """End the process at once, as a success, if a thread still hangs: all that matters is written by now.

    The system's look-up of a name cannot be cut off, and the interpreter would wait for it.
    """
    deadline = time.monotonic() + PATIENCE
    others = [
        thread for thread in threading.enumerate() if thread is not threading.current_thread() and not thread.daemon
    ]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(0)
