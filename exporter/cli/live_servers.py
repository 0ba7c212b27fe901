"""Whether a server works on a store just now."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter.errors import StoreBusyError

if TYPE_CHECKING:
    from exporter.config import Configuration
    from exporter.store.store import Store

LOOKS: Final = 6
LOOK_AGAIN: Final = 0.5
"""Seconds between two looks at heartbeats, of which there is one each second."""


async def any_on(store: Store, configuration: Configuration) -> bool:
    """Return whether a server lives on an open store: one that holds its folder, or a replica whose heart beats.

    A replica whose clock seems to be another one than ours is looked at for some seconds. StoreError when the store
    does not answer.
    """
    if store.dialect == "sqlite":
        return await asyncio.to_thread(_is_held, configuration)
    return await _beats(store)


def _is_held(configuration: Configuration) -> bool:
    from exporter.store.directory import DirectoryLock
    from exporter.store.engines import usable

    database = usable(configuration.store.url.reveal()).database or ""
    try:
        lock = DirectoryLock.take(Path(database).expanduser().absolute().parent, seconds=0.0)
    except StoreBusyError:
        return True
    lock.release()
    return False


async def _beats(store: Store) -> bool:
    from exporter.replicas import DEAD_AFTER
    from exporter.store import replicas

    first: dict[str, float] = {}
    for look in range(LOOKS):
        now = time.time()
        found = {one.id: one.heartbeat_at for one in await replicas.known(store) if one.ended_at is None}
        if not look:
            first = found
        if any(abs(now - at) < DEAD_AFTER or at != first.get(name) for name, at in found.items()):
            return True
        if not found:
            return False
        await asyncio.sleep(LOOK_AGAIN)
    return False
