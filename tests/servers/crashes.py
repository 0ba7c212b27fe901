"""Lets an installed program kill itself at a chosen point: a module that Python loads before it, in tests only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Watchbridge

POINTS = {
    "before the claim is stored": ("exporter.store.backlog_claims", "claimed", "after"),
    "before the program is started": ("exporter.processes", "_start", "before"),
    "when the program was started": ("exporter.processes", "_feed", "after"),
    "when the program has ended": ("exporter.acting", "run", "after"),
    "before the end is stored": ("exporter.store.backlog_claims", "finished", "after"),
    "when the end is stored": ("exporter.worker.books", "_log_end", "before"),
}
"""Where it may be killed: the function of which module, before or after it has run."""

# asyncio's functions are wrapped as such: to call one is not yet to run it.
_SOURCE = """
import importlib.abc, inspect, os, signal, sys

place, name, when = os.environ["CRASH_MODULE"], os.environ["CRASH_FUNCTION"], os.environ["CRASH_WHEN"]
left = int(os.environ["CRASH_CALLS"])

def crash():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def wrapped(function):
    def plain(*arguments, **named):
        if when == "before":
            crash()
        found = function(*arguments, **named)
        if when == "after":
            crash()
        return found

    async def later(*arguments, **named):
        if when == "before":
            crash()
        found = await function(*arguments, **named)
        if when == "after":
            crash()
        return found

    return later if inspect.iscoroutinefunction(function) else plain

class Loader(importlib.abc.Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        setattr(module, name, wrapped(getattr(module, name)))

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, wanted, path, target=None):
        if wanted != place:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(wanted)
        spec.loader = Loader(spec.loader)
        return spec

import importlib.util
sys.meta_path.insert(0, Finder())
"""


def crashing(watchbridge: Watchbridge, folder: Path, point: str, calls: int = 1) -> dict[str, str]:
    """Return the environment in which a program is killed at a point, the `calls`th time that it gets there."""
    place = folder / "crash"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_SOURCE, encoding="utf-8")
    module, function, when = POINTS[point]
    return {
        "PYTHONPATH": f"{watchbridge.target}:{place}",
        "CRASH_MODULE": module,
        "CRASH_FUNCTION": function,
        "CRASH_WHEN": when,
        "CRASH_CALLS": str(calls),
    }
