"""The same against a real engine, where `dockerd` is installed and may be started: root alone may."""

from __future__ import annotations

import io
import os
import shutil
import signal
import tarfile
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from restarts.configured import ITEM, PARTS, options
from servers.programs import Child, short_folder

from exporter.model import Done, GiveUp
from exporter.restarts import docker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

DOCKERD = shutil.which("dockerd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
BUSYBOX = shutil.which("busybox", path="/bin:/usr/bin")
NEEDED = "needs root, dockerd (Debian: docker.io) and a static busybox (busybox-static): the protocol server stands in"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DOCKERD and BUSYBOX) or os.geteuid() != 0, reason=NEEDED),
]


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    """Start an engine of its own, without a network, and give its socket."""
    with short_folder() as folder:
        path = folder / "docker.sock"
        places = ["--data-root", folder / "data", "--exec-root", folder / "exec", "-p", folder / "pid"]
        quiet = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        argv = [DOCKERD, *places, "-H", f"unix://{path}", *quiet, "--storage-driver", "vfs"]
        engine = Child([str(word) for word in argv], folder / "log")
        try:
            engine.wait_ready(path.exists)
            yield path
        finally:
            engine.end(signal.SIGTERM)


@pytest.fixture
async def api(socket: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session with the engine, which has an image `small`."""
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession("http://docker", connector=connector) as session:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(str(BUSYBOX), "bin/busybox")
        await _posted(session, "/images/create?fromSrc=-&repo=small", data=io.BytesIO(packed.getvalue()))
        yield session


async def _posted(session: aiohttp.ClientSession, path: str, **body: Any) -> None:
    async with session.post(path, **body) as response:
        text = await response.text()
        assert response.status < 300, text


async def _run(session: aiohttp.ClientSession, name: str, *command: str) -> None:
    host = {"NetworkMode": "host", "RestartPolicy": {"Name": "always"}}
    body = {"Image": "small", "Cmd": ["/bin/busybox", *command], "HostConfig": host}
    await _posted(session, f"/containers/create?name={name}", json=body)
    await _posted(session, f"/containers/{name}/start")


async def test_a_container_is_restarted_and_runs(socket: Path, api: aiohttp.ClientSession) -> None:
    """It is another process then; what there is not is given up; what dies at once is down."""
    await _run(api, "web", "sleep", "3600")
    keys = {"kind": "docker", "socket": str(socket), "stop_timeout": "1s"}
    web, absent = options({**keys, "container": "web"}), options({**keys, "container": "absent"})
    async with api.get("/containers/web/json") as response:
        before = (await response.json())["State"]["Pid"]
    assert isinstance(await docker.restart(web, ITEM, PARTS, 60.0), Done)
    assert (await docker.verify(web, PARTS, 10.0)).state == "up"
    async with api.get("/containers/web/json") as response:
        assert (await response.json())["State"]["Pid"] != before
    assert isinstance(await docker.restart(absent, ITEM, PARTS, 60.0), GiveUp)
    await _run(api, "dies", "false")
    dies = options({**keys, "container": "dies"})
    while (await docker.verify(dies, PARTS, 10.0)).state == "up":  # it runs for an instant
        pass
    seen = await docker.verify(dies, PARTS, 10.0)
    assert (seen.state, seen.cause) == ("down", "exit")
    for name in ("web", "dies"):
        async with api.delete(f"/containers/{name}?force=true") as response:
            assert response.status == 204
