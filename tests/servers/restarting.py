"""Services that are well while a file is there, the program that restarts one, and where a server is hit meanwhile."""

from __future__ import annotations

import json
import signal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from servers.program import Watchbridge

RESTART: dict[str, Any] = {"name": "restart", "matchers": ["service!=''"], "action": "restart", "service": "{service}"}
"""A rule: each alert restarts the service that its label names."""

MENDS = 'touch "$here/well"'
FAILS = "exit 1"
MENDS_WHERE_IT_CAN = 'test -e "$here/mendable" || exit 1; touch "$here/well"'
WAITS = 'i=0; while [ ! -e "$here/go" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done'
"""What a program that restarts a service does: commands of sh. The last waits until it may go on, or for a minute."""


class Ran(NamedTuple):
    """When the program ran, in seconds since 1970; `ended` is None for one that never came to its end."""

    pid: int
    began: float
    ended: float | None = None


class Mended:
    """A service, down at first, whose folder has the file `well` while it is up.

    Its program notes in the file `log` when it began and when it ended, and in `overlaps` where another one ran still.
    """

    def __init__(self, folder: Path, name: str, then: str = MENDS) -> None:
        self.name, self.folder = name, folder / f"service-{name}"
        self.folder.mkdir()
        self.well = self.folder / "well"
        self.path = self.folder / "restart"
        self.path.write_text(
            f"#!/bin/sh\nhere='{self.folder}'\n"
            # One that was killed left its number behind; a zombie has no command line any more.
            'was=$(cat "$here/at" 2>/dev/null) && grep -qF "$here" "/proc/$was/cmdline" 2>/dev/null && '
            'echo "$was" >> "$here/overlaps"\n'
            'echo $$ > "$here/at"\n'
            'echo "began $(date +%s.%N) $$" >> "$here/log"\n'
            f"{then}\n"
            'echo "ended $(date +%s.%N) $$" >> "$here/log"\n'
            'rm "$here/at"\n'
        )
        self.path.chmod(0o755)

    def service(self, *, restart: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Return its entry below `services`; nothing in it waits longer than it must."""
        test = ["/usr/bin/test", "-e", str(self.well)]
        timing = {"delay": "0s", "verify_timeout": "500ms", "rest": "1s", **(restart or {})}
        return {
            "probe": {"kind": "command", "argv": test, "every": "1s", "timeout": "1s"},
            "restart": {"kind": "command", "argv": [str(self.path)], **timing},
            **more,
        }

    def mend(self) -> None:
        """Let it be up."""
        self.well.touch()

    def ruin(self) -> None:
        """Let it be down."""
        self.well.unlink(missing_ok=True)

    def allow(self, name: str) -> None:
        """Make the file that its program waits for, or looks for."""
        (self.folder / name).touch()

    def runs(self) -> list[Ran]:
        """Return the runs of its program, in their order."""
        path = self.folder / "log"
        runs: list[Ran] = []
        for line in path.read_text().splitlines() if path.exists() else ():
            word, at, pid = line.split()
            if word == "began":
                runs.append(Ran(int(pid), float(at)))
            else:  # numbers come again
                place = max(place for place, one in enumerate(runs) if one.pid == int(pid))
                runs[place] = runs[place]._replace(ended=float(at))
        return runs

    def began(self) -> int:
        """Return how often its program was started."""
        return len(self.runs())

    def ended(self) -> int:
        """Return how often its program came to its end."""
        return sum(one.ended is not None for one in self.runs())

    def overlaps(self) -> list[str]:
        """Return where two of its programs ran at once: what they saw, and what their times say."""
        path = self.folder / "overlaps"
        seen = [f"it saw {pid}" for pid in path.read_text().split()] if path.exists() else []
        pairs = pairwise(self.runs())
        return seen + [f"{one} and {two}" for one, two in pairs if one.ended is not None and one.ended > two.began]


class Point(NamedTuple):
    """The function of which module, `before` or `after` it has run."""

    module: str
    function: str
    when: str


POINTS = {
    "the claim is stored": Point("exporter.restarting.attempt", "attempted", "before"),
    "it waits for its fence": Point("exporter.restarting.attempt", "_fenced", "before"),
    "what runs before it has ended": Point("exporter.restarting.attempt", "_prepared", "after"),
    "its program is about to be started": Point("exporter.restarts.command", "restart", "before"),
    "the old process has ended": Point("exporter.restarts.process", "_ended", "after"),
    "its program has ended": Point("exporter.acting", "within", "after"),
    "it was verified": Point("exporter.restarting.attempt", "judged", "after"),
    "its end is about to be stored": Point("exporter.store.service_restarts", "ended", "after"),
}
"""Where a server may be hit while it restarts something."""

LEASE, MARGIN = 6.0, 1.5
"""Seconds for which a lease lasts in `entry`, and before whose end nothing may begin: a fifth of the real ones."""

# asyncio's functions are wrapped as such: to call one is not yet to run it.
_SOURCE = """
import importlib.abc, importlib.util, inspect, json, os, sys

told = json.loads({told!r})

def hit():
    try:
        os.unlink(told["armed"])
    except FileNotFoundError:
        return
    os.kill(os.getpid(), told["signal"])

def wrapped(function):
    def plain(*arguments, **named):
        told["when"] == "before" and hit()
        found = function(*arguments, **named)
        told["when"] == "after" and hit()
        return found

    async def later(*arguments, **named):
        told["when"] == "before" and hit()
        found = await function(*arguments, **named)
        told["when"] == "after" and hit()
        return found

    return later if inspect.iscoroutinefunction(function) else plain

class Loader(importlib.abc.Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        for name, value in told["values"].get(module.__name__, dict()).items():
            assert hasattr(module, name)
            setattr(module, name, value)
        if module.__name__ == told["module"]:
            setattr(module, told["function"], wrapped(getattr(module, told["function"])))

class Finder(importlib.abc.MetaPathFinder):
    def __init__(self):
        self.wanted = {{told["module"], *told["values"]}}

    def find_spec(self, wanted, path, target=None):
        if wanted not in self.wanted:
            return None
        self.wanted.remove(wanted)
        spec = importlib.util.find_spec(wanted)
        spec.loader = Loader(spec.loader)
        return spec

sys.meta_path.insert(0, Finder())
"""


class Entry:
    """Has a server send itself a signal when it gets to a point, once for each time that it is armed.

    What does that is a module which Python loads before the program; it also makes leases short where that is asked.
    """

    def __init__(
        self, folder: Path, point: str | None = None, *, number: int = signal.SIGKILL, short_leases: bool = False
    ) -> None:
        self._place = folder / f"entry-{len(list(folder.glob('entry-*')))}"
        self._place.mkdir()
        self._armed = self._place / "armed"
        self._run = folder / "run"
        leases = {"exporter.worker.leases": {"LEASE": LEASE, "MARGIN": MARGIN}} if short_leases else {}
        where = Point("", "", "") if point is None else POINTS[point]
        told = {**where._asdict(), "signal": int(number), "armed": str(self._armed), "values": leases}
        (self._place / "sitecustomize.py").write_text(_SOURCE.format(told=json.dumps(told)), encoding="utf-8")

    def arm(self) -> None:
        """Let the next time be the one."""
        self._armed.touch()

    def environment(self, watchbridge: Watchbridge) -> dict[str, str]:
        """Return the environment in which a server has it; its fences are in a folder of the test."""
        return {"PYTHONPATH": f"{watchbridge.target}:{self._place}", "RUNTIME_DIRECTORY": str(self._run)}
