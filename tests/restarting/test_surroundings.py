"""What is looked at just before a restart is decided on: parents, silences, alarms; never for longer than it must."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.restarts import Machine, written
from servers.watched import FakeClock

from exporter import config, probing
from exporter.restarting import surroundings
from exporter.restarting.strategy import restartable
from exporter.restarting.surroundings import FRESH, Surroundings

if TYPE_CHECKING:
    from pathlib import Path


class Asked:
    """Something to refresh: silences, or alarms; it counts, and does what it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.hangs: asyncio.Event | None = None
        self.error: Exception | None = None

    async def refresh(self) -> None:
        self.times += 1
        if self.error is not None:
            raise self.error
        if self.hangs is not None:
            await self.hangs.wait()

    def reason(self, labels: Any) -> str | None:
        return None

    def standing(self, context: Any) -> bool | None:
        return True

    async def clear(self, service: str) -> list[str]:
        return []


class Scene:
    """A machine on which `web` needs `api`, which needs `db`; `batch` needs nothing."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.woken = 0
        self.machine = Machine(folder)
        self.around = Surroundings(self.clock, self.wake)
        self.adopt()

    def wake(self) -> None:
        self.woken += 1

    def adopt(self, db: dict[str, Any] | None = None) -> None:
        """Take the configuration; `db` is how the last of them is probed."""
        machine = self.machine
        services = {
            "web": machine.service("web", depends_on=["api"]),
            "api": machine.service("api", depends_on=["db"]),
            "db": {"probe": db or machine.probe("db")},
            "batch": machine.service("batch"),
        }
        terms = restartable(config.parse(written(services), name="c.yml", environ={}), "here")
        parts = probing.Parts(wire=None, databases={}, clock=self.clock, permits=lambda _: True)
        self.around.adopt(terms, parts)

    async def ready(self, *services: str) -> frozenset[str] | None:
        """Ask around whom it was looked, and let the looks that this begins end."""
        found = self.around.ready(services)
        if looking := self.around._looking.values():
            await asyncio.wait(looking, timeout=20)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give the scene, on which everything is down."""
    return Scene(tmp_path)


WEB, NOBODY = {"web"}, frozenset[str]()


async def test_all_that_a_service_needs_is_looked_at(scene: Scene) -> None:
    """However far, and nothing else: not itself, which its own attempt looks at. Who needs nothing waits for nobody."""
    scene.machine.up("api").touch()
    assert await scene.ready("web", "batch") == {"batch"}
    assert list(scene.around.down) == ["db"]
    assert scene.around.down["db"]
    assert scene.around.up == {"api"}
    assert scene.woken == 2
    assert await scene.ready("web", "batch") == {"web", "batch"}
    assert scene.woken == 2


async def test_what_was_seen_is_decided_on_for_a_moment_only(scene: Scene) -> None:
    """Then it is looked at anew, as under another configuration."""
    assert await scene.ready("web") == NOBODY
    scene.machine.up("db").touch()
    scene.clock.pass_(FRESH)
    assert await scene.ready("web", "api") == {"web", "api"}
    assert "db" in scene.around.down
    scene.clock.pass_(0.1)
    assert scene.around.down == {}
    assert await scene.ready("web") == NOBODY
    assert list(scene.around.down) == ["api"]
    assert await scene.ready("web") == WEB
    scene.adopt()
    assert await scene.ready("web") == NOBODY


async def test_after_a_restart_it_is_looked_anew(scene: Scene) -> None:
    """What hangs on it is judged by how it is now."""
    assert await scene.ready("web") == NOBODY
    assert await scene.ready("web") == WEB
    scene.machine.up("db").touch()
    scene.around.forget()
    assert await scene.ready("web") == NOBODY
    assert list(scene.around.down) == ["api"]
    assert await scene.ready("web") == WEB


@pytest.mark.parametrize("how", ["restarted", "configured"])
async def test_a_look_that_is_under_way_then_is_not_decided_on(scene: Scene, how: str) -> None:
    """It may have seen up what is down now, or have asked by a probe that is another one now."""
    assert scene.around.ready(["web"]) == NOBODY
    looking = list(scene.around._looking.values())
    await asyncio.sleep(0)
    (scene.around.forget if how == "restarted" else scene.adopt)()
    await asyncio.wait(looking, timeout=20)
    assert (scene.woken, scene.around.down) == (2, {})
    assert await scene.ready("web") == NOBODY
    assert await scene.ready("web") == WEB


async def test_it_is_looked_anew_beside_a_look_that_hangs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would have said nobody waits for; but it counts among those that are under way at once, and is ended."""
    monkeypatch.setattr(surroundings, "AT_ONCE", 3)
    scene.adopt(db={"kind": "command", "argv": ["/bin/sleep", "60"], "timeout": "30s"})
    scene.machine.up("api").touch()
    assert scene.around.ready(["web"]) == NOBODY
    await asyncio.wait([scene.around._looking["api"]], timeout=20)
    (hanging,) = [task for task in scene.around._looking.values() if not task.done()]
    scene.adopt()
    assert await scene.ready("web") == NOBODY
    assert await scene.ready("web") == WEB
    assert set(scene.around.down) == {"db"}
    monkeypatch.setattr(surroundings, "AT_ONCE", 1)
    scene.around.forget()
    assert await scene.ready("web") == NOBODY
    assert await scene.ready("web") == NOBODY
    await scene.around.close()
    assert hanging.cancelled()


async def test_silences_and_alarms_are_asked_too(scene: Scene) -> None:
    """Before anything is begun, a restart or not."""
    silences, alarms = Asked(), Asked()
    scene.around.silences, scene.around.alarms = silences, alarms
    assert await scene.ready("batch") is None
    assert (silences.times, alarms.times) == (1, 1)
    assert await scene.ready("batch") == {"batch"}
    assert await scene.ready() == NOBODY
    assert (silences.times, alarms.times) == (1, 1)


async def test_one_look_at_a_time(scene: Scene) -> None:
    """Who asks meanwhile waits for it."""
    silences = scene.around.silences = Asked()
    silences.hangs = asyncio.Event()
    assert scene.around.ready(["web"]) is None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert scene.around.ready(["web"]) is None
    silences.hangs.set()
    assert await scene.ready("web") is None
    assert silences.times == 1
    assert await scene.ready("web") == WEB


async def test_what_breaks_keeps_nobody_from_looking(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged: a mistake of ours."""
    silences = scene.around.silences = Asked()
    silences.error = RuntimeError("a mistake")
    assert await scene.ready("web") is None
    assert await scene.ready("web") == WEB
    assert set(scene.around.down) == {"api", "db"}
    assert "could not be looked around" in caplog.text


async def test_what_hangs_is_waited_for_so_long(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is decided without it; a parent that could not be looked at is not well, and others are as they are."""
    monkeypatch.setattr(surroundings, "LONGEST", 0.5)
    scene.adopt(db={"kind": "command", "argv": ["/bin/sleep", "60"], "timeout": "30s"})
    silences = scene.around.silences = Asked()
    silences.hangs = asyncio.Event()
    scene.machine.up("api").touch()
    assert await scene.ready("web") is None
    assert await scene.ready("web") == WEB
    assert scene.around.down == {"db": "it could not be looked at within 0.5 s"}
    assert scene.around.up == {"api"}
    silences.hangs.set()


async def test_closed_it_looks_no_longer(scene: Scene) -> None:
    silences = scene.around.silences = Asked()
    silences.hangs = asyncio.Event()
    assert scene.around.ready(["web"]) is None
    await asyncio.sleep(0)
    await scene.around.close()
    assert all(task.done() for task in scene.around._looking.values())
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=20)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await Scene(scene.machine.folder).around.close()
