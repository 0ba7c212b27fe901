"""What goes down again while its alert still fires is restarted again, as the same item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import resolve
from servers.restarts import Machine, fires, turned, written

from exporter.store import audit
from exporter.worker import vigil
from exporter.worker.vigil import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.worker.worker import Worker


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the second look follow the first at once."""
    monkeypatch.setattr(vigil, "TWICE", 0.0)


@pytest.fixture
def machine(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return Machine(tmp_path)


async def kept(worker: Worker, seconds: float = 2 * EVERY) -> None:
    """Let time pass, look once at what was restarted, and let the worker do what comes of it."""
    worker._clock.pass_(seconds)  # type: ignore[attr-defined]  # a clock that the test turns
    await worker._vigil.look()
    await turned(worker)


async def test_what_is_down_again_is_restarted_again(place: Callable[..., Any], machine: Machine) -> None:
    """Its alert never resolved: the item is the same, and the audit says that it was wanted again."""
    here = await place(written({"web": machine.service("web")}))
    worker = here.worker()
    [number] = await fires(here, "web")
    await turned(worker)
    assert (await here.state(number), machine.marks("web")) == ("done", 1)
    await kept(worker)
    assert (await here.state(number), machine.marks("web")) == ("done", 1), "it is up: nothing is done"
    machine.up("web").unlink()
    await kept(worker, 1.0)
    assert machine.marks("web") == 2
    assert await here.state(number) == "done"
    assert "reopened" in [entry.verb for entry in await audit.of(here.store, "item", number)]


async def test_it_waits_a_moment_after_a_restart(place: Callable[..., Any], machine: Machine) -> None:
    """What has just been verified is not looked at before half a minute has passed."""
    here = await place(written({"web": machine.service("web")}))
    worker = here.worker()
    [number] = await fires(here, "web")
    await turned(worker)
    machine.up("web").unlink()
    await kept(worker, EVERY / 2)
    assert (await here.state(number), machine.marks("web")) == ("done", 1)


@pytest.mark.parametrize("over", ["resolved", "one look that fails"])
async def test_nothing_is_wanted_again_without_need(
    place: Callable[..., Any], machine: Machine, over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the alert has resolved, or where only one of two looks found it down."""
    here = await place(written({"web": machine.service("web")}))
    worker = here.worker()
    [number] = await fires(here, "web")
    await turned(worker)
    machine.up("web").unlink()
    if over == "resolved":
        await resolve(here.store, (await here.item(number)).incident_id)
    else:

        async def mends(_seconds: float) -> None:
            machine.up("web").touch()

        monkeypatch.setattr(vigil.asyncio, "sleep", mends)
    worker._clock.pass_(2 * EVERY)  # type: ignore[attr-defined]  # a clock that the test turns
    await worker._vigil.look()
    monkeypatch.undo()
    assert (await here.state(number), machine.marks("web")) == ("done", 1)


async def test_of_several_items_of_a_service_one_restarts_it(place: Callable[..., Any], machine: Machine) -> None:
    """The others are done without a run, as they were the first time."""
    here = await place(written({"web": machine.service("web")}))
    worker = here.worker()
    numbers = [(await fires(here, "web"))[0] for _ in range(3)]
    for _ in range(3):
        await turned(worker)
    machine.up("web").unlink()
    await kept(worker)
    for _ in range(3):
        await turned(worker, 20.0)
    assert machine.marks("web") == 2
    assert {await here.state(number) for number in numbers} == {"done"}
