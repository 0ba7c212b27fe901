"""The wire on each kind of poll, and the check that it leaves nothing behind."""

from __future__ import annotations

import selectors
import threading
from typing import TYPE_CHECKING

import pytest
from servers.programs import until

from exporter.wire import Wire, engine
from exporter.wire.poller import SelectorPoller, new_poller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLLERS = {"best": new_poller, "select": lambda: SelectorPoller(selectors.SelectSelector())}


def wire_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("wire")]


@pytest.fixture(params=POLLERS)
async def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    """Yield a wire; close it, and see that it leaves no thread."""
    monkeypatch.setattr(engine, "new_poller", POLLERS[request.param])
    wire = Wire()
    yield wire
    await wire.close()
    until(lambda: not wire_threads(), 10, "the end of the wire's threads")
