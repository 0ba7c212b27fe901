"""What commands share that act in their own process: the equipment of actions, restarts and probes, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from exporter.cli import data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from exporter.config import Configuration
    from exporter.model import Clock
    from exporter.worker.by_hand import Equipment

T = TypeVar("T")

TERMINATED: Final = 128 + signal.SIGTERM


@contextlib.asynccontextmanager
async def equipment(configuration: Configuration, clock: Clock) -> AsyncIterator[Equipment]:
    """Give what actions, restarts and probes of a configuration may use."""
    from exporter import acting, probing
    from exporter.databases import open_database
    from exporter.guard import Guard
    from exporter.wire import Wire
    from exporter.worker.by_hand import Equipment

    permits = Guard(configuration.probing.allow).configured
    async with contextlib.AsyncExitStack() as stack:
        wire = Wire(clock=clock)
        stack.push_async_callback(wire.close)
        databases = {word: open_database(word, one) for word, one in configuration.databases.items()}
        for database in databases.values():
            stack.push_async_callback(database.close)
        yield Equipment(
            acting.Parts(clock, configuration.email, configuration.alertmanager, permits),
            probing.Parts(wire=wire, databases=databases, clock=clock, permits=permits),
        )


async def until_terminated(work: Coroutine[Any, Any, T], stopped: str) -> T:
    """Do some work; SIGTERM ends it as Ctrl-C does, so that what runs is stopped and that is written down.

    `stopped` is what is told then.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has no handlers in the loop
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        data.tell(stopped)
        if (current := asyncio.current_task()) is not None and current.cancelling():
            raise  # Ctrl-C, which has ended the work already
        raise click.exceptions.Exit(TERMINATED) from None
