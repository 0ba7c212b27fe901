"""Counters and uptime outlive the program, however it ends, on every engine."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from e2e.service_scenes import Scrapes, asked, configuration, metrics, runs, series, uptime, wait_state, web
from servers.programs import until
from servers.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.program import Program

SERVICES = 50
ROUNDS = 5
DEAD_SECONDS = 0.4
RATIO = 'watchbridge_uptime_ratio{client="default",target="s0",window="1h"}'


@pytest.fixture
def target() -> Iterator[Target]:
    """Give a healthy target."""
    with contextlib.closing(Target()) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", pytest.param("mariadb", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty store on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'watchbridge.db'}"
    return str(request.getfixturevalue(request.param).create_database())


@pytest.mark.parametrize("seed", [7])
def test_no_kill_makes_a_counter_fall(seed: int, store: str, watchbridge, target: Target, tmp_path: Path) -> None:
    """Killed at five random moments while it probes 50 services: no counter that was scraped ever falls.

    The time in which it was dead is `unknown` and in no ratio, and no run is counted that was not made.
    """
    services = {f"s{n}": web(target.url(f"/{n}"), **({"series": "full"} if n == 0 else {})) for n in range(SERVICES)}
    config = configuration(tmp_path, services, store=store, replica="one")
    chance, dead = random.Random(seed), 0.0  # noqa: S311 - moments, no secrets
    program = watchbridge("serve", config=config)
    url, began = program.url, time.monotonic()
    with Scrapes(lambda: [url]) as watched:
        for number in range(ROUNDS):
            if number % 2 == 0:  # the others die while they begin
                _wait_runs(program, (number + 1) * SERVICES)
            time.sleep(chance.uniform(0.0, 1.5))  # the random moment
            program.kill()
            killed = time.monotonic()
            time.sleep(DEAD_SECONDS)
            dead += time.monotonic() - killed
            program = watchbridge("serve", config=config)
        until(lambda: uptime(metrics(program), "s0").get("unknown", 0.0) >= dead, 15, "the time of the last death")
        until(lambda: RATIO in series(metrics(program)), 10, "the ratios")
        text, lasted = metrics(program), time.monotonic() - began
    assert watched.falls == []
    assert watched.answered > 10 * ROUNDS
    for n in range(SERVICES):
        seconds = uptime(text, f"s{n}")
        assert set(seconds) == {"up", "unknown"}
        assert seconds["unknown"] >= dead
        assert sum(seconds.values()) == pytest.approx(lasted, abs=3)
    assert series(text)[RATIO] == 1
    assert runs(text) <= target.asked()
    assert program.stop() == 0
    # In each round a kill loses what was not committed yet: the runs of a second, or two.
    assert target.asked() - 2 * SERVICES * ROUNDS <= _stored(watchbridge) <= target.asked()
    if store.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def _wait_runs(program: Program, wanted: float) -> None:
    until(lambda: runs(metrics(program)) >= wanted, 15, f"{wanted} runs")


def _stored(watchbridge) -> int:
    rows = asked(watchbridge, "history", "s0", "--limit", "10000")
    return len(rows) * SERVICES


def test_a_clean_end_loses_no_run(store: str, watchbridge, target: Target, tmp_path: Path) -> None:
    """After SIGTERM and a new start the counters go on from what was shown, and every request is a stored reading."""
    config = configuration(tmp_path, {"web": web(target.url())}, store=store)
    program = watchbridge("serve", config=config)
    before = until(lambda: found if runs(found := metrics(program), "web") >= 2 else None, 15, "two runs")
    assert program.stop() == 0
    requests = target.asked()
    assert len(asked(watchbridge, "history", "web", "--limit", "1000")) == requests
    again = watchbridge("serve", config=config)
    after = wait_state(again, "web", "up")
    assert runs(after, "web") >= requests
    assert uptime(after, "web")["up"] >= uptime(before, "web")["up"]
