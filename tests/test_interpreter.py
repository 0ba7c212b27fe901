"""A process ends when it is told to, whatever its threads wait for."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

PROGRAM = """
import asyncio, sys, time
from exporter import interpreter

async def main():
    interpreter.settle()
    asyncio.get_running_loop().run_in_executor(None, time.sleep, {seconds})
    await asyncio.sleep(0.1)
    print("written")

asyncio.run(main())
interpreter.leave()
print("left by itself")
"""


def ended(seconds: float) -> tuple[int, str, float]:
    """Run the program with a thread that sleeps; return how it ended, what it said and how long it took."""
    begun = time.monotonic()
    argv = [sys.executable, "-c", PROGRAM.format(seconds=seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, time.monotonic() - begun


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    """As a look-up of a name does: the end is a success, and what was said is written."""
    code, said, seconds = ended(50)
    assert (code, said) == (0, "written\n")
    assert seconds < 30


def test_threads_that_end_are_waited_for() -> None:
    """The sudden end is only for those that hang."""
    assert ended(0.2)[:2] == (0, "written\nleft by itself\n")


@pytest.mark.parametrize(
    ("limit", "wanted", "places"),
    [
        pytest.param(64, 500, 32, id="half of what there is"),
        pytest.param(4096, 500, 500, id="as many as wanted"),
        pytest.param(3, 500, 2, id="never fewer than two"),
    ],
)
def test_probes_leave_descriptors_for_those_who_ask(limit: int, wanted: int, places: int) -> None:
    """A scrape needs one while a thousand targets hang."""
    program = (
        "import resource; from exporter import interpreter;"
        f"resource.getrlimit = lambda _: ({limit}, {limit}); print(interpreter.affordable({wanted}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == places


def test_what_was_loaded_is_spared_until_the_next_load() -> None:
    """The collector of cycles does not look at it any more, and what went away in between is not kept for ever."""
    program = """
import gc, weakref
from exporter import interpreter

class Loaded:
    def __init__(self):
        self.itself = self

one = Loaded()
there = weakref.ref(one)
interpreter.loaded()
print(gc.get_freeze_count() > 0)
del one
gc.collect()
print(there() is not None)
interpreter.loaded()
print(there() is None)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
