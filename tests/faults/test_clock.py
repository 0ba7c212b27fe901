"""Somebody sets the clock of the machine while services are probed."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from e2e.service_scenes import Scrapes, asked, configuration, faked, metrics, runs, series, state, uptime, web
from servers.programs import until
from servers.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def target() -> Iterator[Target]:
    """Give a healthy target."""
    with contextlib.closing(Target()) as server:
        yield server


@pytest.mark.alone
def test_a_day_that_did_not_pass_is_nobodys_uptime(watchbridge, target: Target, tmp_path: Path) -> None:
    """A day on, back, and a day back: no counter falls or leaps, no state is lost, each service goes on at its pace."""
    setting = tmp_path / "clock"
    setting.write_text("+0")
    services = {"web": web(target.url(), series="full"), "slow": web(target.url("/slow"), probe={"every": "2s"})}
    clock = faked(FAKETIME_TIMESTAMP_FILE=str(setting), FAKETIME_NO_CACHE="1")
    program = watchbridge("serve", config=configuration(tmp_path, services), env=clock)
    began = time.monotonic()
    until(lambda: runs(metrics(program), "web") >= 3, 15, "three runs")
    with Scrapes(lambda: [program.url]) as watched:
        for offset in ("+86400", "+0", "-86400"):
            setting.write_text(offset)
            asked_before = dict(target.requests)
            wanted = runs(metrics(program), "web") + 4
            until(lambda wanted=wanted: runs(metrics(program), "web") >= wanted, 10, "four runs more")
            assert target.requests["/slow"] >= asked_before["/slow"] + 1
            text = metrics(program)
            assert state(text, "web") == "up"
            assert series(text)['watchbridge_probe_success{client="default",target="web"}'] == 1
            now = time.time() + int(offset)
            last = series(text)['watchbridge_probe_last_run_timestamp_seconds{client="default",target="web"}']
            assert last == pytest.approx(now, abs=5)
        lasted = time.monotonic() - began
        seconds = uptime(metrics(program), "web")
    assert watched.falls == []
    assert lasted - 6 < seconds["up"] <= lasted + 2
    assert sum(seconds.values()) <= lasted + 86400 + 2
    assert watched.leaps('state="up"', 10) == []
    assert program.stop() == 0
    assert "Traceback" not in program.output()
    assert "the clock of this machine was set" in program.output()
    assert asked(watchbridge, "show", "web")["uptime_90d"] in {1, None}
