"""Two things that break: a process that Watchbridge starts again, and a machine that no restart helps for a while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST: Final = "127.0.0.1"
WORKER_EVERY: Final = 60.0
"""Seconds between two ends of the worker."""
RENDERER_CYCLE: Final = 180.0
RENDERER_MENDED: Final = 110.0
"""Seconds of each cycle after which a restart of the renderer helps: until then its circuit opens."""
CONNECT_SECONDS: Final = 1.0

# It ends by itself soon after the demo, also where that was killed: nobody says any more that it lives.
WORKER: Final = """\
import os, socket, sys, time
port, alive = int(sys.argv[1]), sys.argv[2]
with socket.create_server(("127.0.0.1", port)) as server:
    server.settimeout(1.0)
    while os.path.exists(alive) and time.time() - os.path.getmtime(alive) < 15:
        try:
            client, _ = server.accept()
        except TimeoutError:
            continue
        with client:
            client.settimeout(1.0)
            try:
                if client.recv(4) == b"quit":
                    break
            except OSError:
                pass
"""
RENDER: Final = """\
import pathlib, sys
part, runs = map(pathlib.Path, sys.argv[1:])
if part.exists():
    runs.touch()
print("the renderer was started", "with" if part.exists() else "without", "its missing part")
"""
LOOK: Final = "import os, sys; sys.exit(not os.path.exists(sys.argv[1]))"


class Mending:
    """What breaks in the demo so that Watchbridge mends it."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`folder` is the demo's own; `clock` gives seconds that never go back."""
        self._clock = clock
        self._began = clock()
        self._folder = folder
        self._alive = folder / "alive"
        self._part = folder / "renderer-part"
        self._runs = folder / "renderer-runs"
        self._port = _free_port()
        self._ended = self._began
        self._down: dict[str, bool] = {"worker": False, "renderer": False}

    def make(self) -> None:
        """Write the programs; Watchbridge itself starts the worker, since that does not run."""
        for name, text in (("worker", WORKER), ("render", RENDER), ("look", LOOK)):
            (self._folder / f"{name}.py").write_text(text, encoding="utf-8")
        self._alive.touch()

    def _argv(self, program: str, *arguments: str) -> list[str]:
        return [sys.executable, (self._folder / f"{program}.py").as_posix(), *arguments]

    def configuration(self) -> dict[str, Any]:
        """Return the services and the rule that mends them."""
        part, runs = self._part.as_posix(), self._runs.as_posix()
        return {
            "services": {
                "worker": {
                    "group": "jobs",
                    "probe": {"kind": "tcp", "address": f"{HOST}:{self._port}", "every": "2s", "timeout": "1s"},
                    "restart": {
                        "kind": "process",
                        "argv": self._argv("worker", str(self._port), self._alive.as_posix()),
                        "delay": "1s",
                    },
                },
                "renderer": {
                    "group": "jobs",
                    "depends_on": ["worker"],
                    "probe": {
                        "kind": "command",
                        "argv": self._argv("look", runs),
                        "every": "3s",
                        "timeout": "2s",
                    },
                    "restart": {
                        "kind": "command",
                        "argv": self._argv("render", part, runs),
                        "delay": "500ms",
                        "verify_timeout": "2s",
                        "rest": "5s",
                    },
                    "circuit": {"failures": 3, "reset": "30s"},
                },
            },
            "rules": [
                {
                    "name": "mend",
                    "matchers": ['alertname="DemoServiceDown"'],
                    "action": "restart",
                    "service": "{target}",
                }
            ],
        }

    def down(self) -> dict[str, bool]:
        """Return which of the two are down, as the last look has seen it."""
        return dict(self._down)

    async def keep_breaking(self) -> None:
        """End the worker, and let the renderer want its part, again and again until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            elapsed = self._clock() - self._began
            with contextlib.suppress(OSError):  # the demo ends: its folder is gone
                self._alive.touch(exist_ok=True)
                self._change_part(elapsed % RENDERER_CYCLE >= RENDERER_MENDED)
                self._down["renderer"] = not self._runs.exists()
            self._down["worker"] = not await self._asked(b"")
            if self._clock() - self._ended >= WORKER_EVERY and not self._down["worker"]:
                self._ended = self._clock()
                await self._asked(b"quit")

    def _change_part(self, is_there: bool) -> None:  # noqa: FBT001 -- what its name says
        if is_there:
            self._part.touch()
        elif self._part.exists():
            self._part.unlink()
            self._runs.unlink(missing_ok=True)

    async def _asked(self, word: bytes) -> bool:
        """Say a word to the worker; return whether it is there."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(HOST, self._port)
                writer.write(word)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            return False
        return True


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as found:
        port: int = found.getsockname()[1]
    return port
