"""The installed program probes services, and Prometheus, the commands and a reload see what it found."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.service_scenes import (
    STATES,
    Scrapes,
    asked,
    configuration,
    faked,
    metrics,
    ready,
    runs,
    series,
    state,
    uptime,
    wait_state,
    web,
)
from servers.programs import find, until
from servers.target import DEGRADED, HEALTHY, Target, black_hole

from exporter.store import client_services, clients, service_editing
from exporter.store.credentials import KeyRing
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEY = "q8Vt2mXw9LzR4cYh7NbK1dGs5JfPa3Ue"


@pytest.fixture
def target() -> Iterator[Target]:
    """Give a healthy target."""
    with contextlib.closing(Target()) as server:
        yield server


def _one(server, expression: str) -> float | None:
    return server.value(f'{expression}{{client="default",target="web"}}')


def test_prometheus_sees_every_state_of_a_service(watchbridge, prometheus, target: Target, tmp_path: Path) -> None:
    """Healthy, degraded by its body, 503, refused, healthy: state, success, code, counters and commands agree."""
    program = watchbridge("serve", config=configuration(tmp_path, {"web": web(target.url(), series="full")}))
    server = prometheus(program.url)

    def is_now(wanted: str, success: float, code: float | None) -> None:
        server.wait_for(f'watchbridge_service_state{{target="web",state="{wanted}"}} == 1')
        assert server.values('watchbridge_service_state{target="web"}', "state") == {
            word: float(word == wanted) for word in STATES
        }
        assert _one(server, "watchbridge_probe_success") == success
        assert _one(server, "watchbridge_probe_http_status_code") == code
        assert time.time() - (_one(server, "watchbridge_probe_last_run_timestamp_seconds") or 0) < 5
        seconds = f'watchbridge_uptime_seconds_total{{target="web",state="{wanted}"}}'
        before = server.value(seconds) or 0.0
        server.wait_for(f"{seconds} >= {before + 1}")
        row = asked(watchbridge, "list", codes=(int(wanted == "down"),))[0]
        assert (row["service"], row["state"]) == ("web", wanted)

    is_now("up", 1, 200)
    assert 'component="' not in metrics(program)
    target.answer(200, DEGRADED)
    is_now("degraded", 1, 200)
    part = 'client="default",target="web",component="cache",state="degraded"'
    assert series(metrics(program))[f"watchbridge_service_component_state{{{part}}}"] == 1
    target.answer(503, HEALTHY)
    is_now("down", 0, 503)
    target.close()
    server.wait_for('absent(watchbridge_probe_http_status_code{target="web"})')
    is_now("down", 0, None)
    checked = asked(watchbridge, "check", "web", codes=(1,))
    assert (checked["state"], checked["cause"], checked["status_code"]) == ("down", "connect", None)
    target.open()
    target.answer()
    is_now("up", 1, 200)
    assert asked(watchbridge, "check", "web")["state"] == "up"

    counted = server.values('watchbridge_probe_runs_total{target="web"}', "result")
    assert counted["success"] > 0
    assert counted["failure"] > 0
    assert server.value("watchbridge_probe_interval_seconds") == 1
    assert server.value("watchbridge_replica_owned_services") == 1
    assert server.value('watchbridge_uptime_ratio{target="web",window="1h"}') is not None
    assert set(server.values('watchbridge_probe_phase_duration_seconds{target="web"}', "phase")) >= {
        "connect",
        "processing",
        "transfer",
    }
    assert program.stop() == 0
    _history_agrees(watchbridge)


def _history_agrees(watchbridge) -> None:
    """Check that the readings and the stretches that the commands show are those that were made."""
    readings = asked(watchbridge, "history", "web", "--limit", "1000")
    assert readings[0]["state"] == "up"
    assert {(one["state"], one["status_code"]) for one in readings} == {
        ("up", 200),
        ("degraded", 200),
        ("down", 503),
        ("down", None),
    }
    stretches = asked(watchbridge, "history", "web", "--stretches")
    seen = [one["state"] for one in reversed(stretches) if one["state"] != "unknown"]
    assert seen == ["up", "degraded", "down", "up"]
    shown = asked(watchbridge, "show", "web")
    assert 0 < shown["uptime_1h"] < 1


def test_the_whole_exposition_is_as_prometheus_wants_it(watchbridge, target: Target, tmp_path: Path) -> None:
    """Promtool finds nothing to say about it, whatever state the services are in."""
    services = {
        "web": web(target.url(), series="full", client="acme"),
        "refused": web("http://127.0.0.1:1/", series="full"),
        "port": {"probe": {"kind": "tcp", "address": f"127.0.0.1:{target.port}", "every": "1s"}},
        "command": {"probe": {"kind": "command", "argv": ["/bin/true"], "every": "1s"}},
    }
    program = watchbridge("serve", config=configuration(tmp_path, services))
    for name, wanted in (("web", "up"), ("refused", "down"), ("port", "up"), ("command", "up")):
        wait_state(program, name, wanted)
    text = until(lambda: found if runs(found := metrics(program), "web") else None, 10, "counted runs")
    done = subprocess.run(
        [find("promtool", "Prometheus"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_reload_adds_changes_and_removes(watchbridge, target: Target, tmp_path: Path) -> None:
    """What goes vanishes at once with all its series; what stays keeps its counters and its rhythm."""
    hourly = {"every": "1h"}
    services = {
        "kept": web(target.url("/kept")),
        "hourly": web(target.url("/hourly"), probe=hourly),
        "moved": web(target.url("/old")),
        "removed": web(target.url("/removed")),
        "disabled": web(target.url("/disabled")),
    }
    config = configuration(tmp_path, services)
    program = watchbridge("serve", config=config)
    for name in services:
        wait_state(program, name, "up")
    text = until(lambda: found if runs(found := metrics(program), "kept") >= 3 else None, 15, "three runs")

    config["services"] = {
        "kept": services["kept"],
        "hourly": services["hourly"],
        "moved": web(target.url("/new")),
        "disabled": {**services["disabled"], "enabled": False},
        "added": web(target.url("/added")),
    }
    watchbridge.configuration(config)
    with Scrapes(lambda: [program.url]) as watched:
        program.send(signal.SIGHUP)
        wait_state(program, "added", "up")
        for name in ("removed", "disabled"):
            assert f'target="{name}"' not in metrics(program)
        until(lambda: target.requests.get("/new"), 10, "a request to the new URL")
        now = metrics(program)
        assert runs(now, "kept") >= runs(text, "kept")
        assert runs(now, "moved") >= runs(text, "moved")
        asked_before = {path: target.requests[path] for path in ("/old", "/removed", "/disabled")}
        until(lambda: runs(metrics(program), "added") >= 3, 15, "three runs of the new one")
    assert watched.answered > 10
    assert watched.falls == []
    assert {path: target.requests[path] for path in asked_before} == asked_before
    assert target.requests["/hourly"] == 1
    assert ("removed", "unknown") in [(row["service"], row["state"]) for row in asked(watchbridge, "list", "--all")]
    assert "removed" not in [row["service"] for row in asked(watchbridge, "list")]

    watchbridge.configuration({**config, "services": {"kept": {"probe": {"kind": "htpp"}}}})
    program.send(signal.SIGHUP)
    until(lambda: "watchbridge_config_last_reload_successful 0" in metrics(program), 15, "the bad reload")
    for name in ("kept", "hourly", "moved", "added"):
        assert state(metrics(program), name) == "up"


def test_a_service_that_comes_back_goes_on_counting(watchbridge, target: Target, tmp_path: Path) -> None:
    """The only service is removed and added again: its counters go on, the time between is in none of its ratios."""
    config = configuration(tmp_path, {"web": web(target.url(), series="full")})
    program = watchbridge("serve", config=config)
    before = until(lambda: found if runs(found := metrics(program), "web") >= 2 else None, 15, "two runs")
    watchbridge.configuration({**config, "services": {}})
    program.send(signal.SIGHUP)
    wait_state(program, "web", None)
    stretches = until(
        lambda: found if (found := asked(watchbridge, "history", "web", "--stretches"))[0]["ended_at"] else None,
        10,
        "the end of its last stretch",
    )
    assert stretches[0]["state"] == "up"
    watchbridge.configuration(config)
    program.send(signal.SIGHUP)
    after = wait_state(program, "web", "up")
    assert runs(after, "web") >= runs(before, "web")
    assert uptime(after, "web")["up"] >= uptime(before, "web")["up"]
    assert asked(watchbridge, "show", "web")["uptime_1h"] == 1


@contextlib.asynccontextmanager
async def _opened(config) -> AsyncIterator[Store]:
    store = await Store.open(StoreOptions.from_scalar(config["store"]["url"]), time, exclusive=False, upgrade=False)
    try:
        yield store
    finally:
        await store.close()


async def test_a_service_of_the_store_takes_effect_and_keeps_its_secret(
    watchbridge, target: Target, tmp_path: Path
) -> None:
    """Made beside the running program it is shown within seconds and asked with its credential; deleted, it is gone."""
    keys = KeyRing.parse(KEY)
    store = {"url": f"sqlite:///{tmp_path / 'state' / 'watchbridge.db'}", "key_file": str(tmp_path / "key")}
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    config = configuration(tmp_path, {}, store=store)
    # A cron pattern has no seconds: by this clock the next minute begins soon.
    moment = datetime.now(UTC).replace(second=51)
    program = watchbridge("serve", config=config, env=faked(FAKETIME=f"{moment:@%Y-%m-%d %H:%M:%S}"))
    fields = {
        "name": "api",
        "endpoint_url": target.url("/private"),
        "cron_schedule": "* * * * *",
        "basic_auth_username": "ada",
        "basic_auth_password": "correct-horse",
    }
    async with _opened(config) as opened:
        client = await clients.create(opened, "acme")
        made = await service_editing.create(opened, keys, {"client_id": client.id, **fields})
        text = wait_state(program, "api", "unknown", 30)
        assert 'client="acme",target="api"' in text
        # A slow start misses that minute, and waits for the one after it.
        text = wait_state(program, "api", "up", 90)
        assert target.authorizations == {"/private": "Basic YWRhOmNvcnJlY3QtaG9yc2U="}
        shown = asked(watchbridge, "show", "acme/api")
        assert asked(watchbridge, "check", "api")["state"] == "up"
        for place in (text, str(shown), program.output(), _arguments(program.pid)):
            assert "correct-horse" not in place
            assert "YWRhOmNvcnJlY3QtaG9yc2U=" not in place
        await service_editing.update(opened, keys, made.id, {"endpoint_url": target.url("/other"), "timeout_ms": 900})
        await service_editing.delete(opened, made.id)
        assert [one.name for one in await client_services.listed(opened)] == []
    wait_state(program, "api", None, 8)
    assert ready(program)[0] == 200
    assert program.stop() == 0
    assert "Traceback" not in program.output()
    assert '"level": "error"' not in program.output().lower()


def _arguments(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


def test_a_window_is_maintenance_and_ends_by_itself(watchbridge, target: Target, tmp_path: Path) -> None:
    """A service in a window is in maintenance whatever its probe finds, which is in no ratio; then it is as it is."""
    target.answer(503)
    now = time.time()
    window = {
        "services": ["web"],
        "start": datetime.fromtimestamp(now - 60, UTC).isoformat(timespec="seconds"),
        "end": datetime.fromtimestamp(now + 8, UTC).isoformat(timespec="seconds"),
    }
    config = configuration(tmp_path, {"web": web(target.url(), series="full")}, windows=[window])
    program = watchbridge("serve", config=config)
    text = wait_state(program, "web", "maintenance")
    assert "watchbridge_uptime_ratio" not in text
    text = wait_state(program, "web", "down", 20)
    assert time.time() >= int(now) + 8
    seconds = uptime(text, "web")
    assert seconds["maintenance"] > 2
    assert seconds.get("up") is None
    text = until(lambda: found if uptime(found := metrics(program), "web").get("down") else None, 10, "seconds down")
    assert asked(watchbridge, "show", "web")["uptime_1h"] == 0


def test_half_of_the_services_hang_and_the_others_are_probed(watchbridge, target: Target, tmp_path: Path) -> None:
    """300 of 600 are black holes and the places are few: each of the others runs every time, and the scrape answers."""
    pace = {"every": "2s", "timeout": "1s"}
    with black_hole() as hole:
        services = {f"good-{n}": web(target.url(f"/{n}"), probe=pace) for n in range(300)}
        services |= {f"hung-{n}": web(f"http://127.0.0.1:{hole}/", probe=pace) for n in range(300)}
        config = configuration(tmp_path, services, probing={"concurrency": 100})
        program = watchbridge("serve", config=config)

        def found_out() -> bool:
            return len(re.findall(r'target="hung-\d+",state="down"\} 1\b', metrics(program))) == 300

        until(found_out, 60, "each black hole to be found out")
        before, began = metrics(program), time.monotonic()
        until(lambda: time.monotonic() - began > 10, 15, "ten seconds")
        after, lasted = metrics(program), time.monotonic() - began
        counted, counted_after = series(before), series(after)
        for n in range(300):
            key = f'watchbridge_probe_runs_total{{client="default",target="good-{n}",result="success"}}'
            assert counted_after[key] - counted[key] >= lasted / 2 - 2, key
        assert program.stop() == 0


def test_it_ends_in_time_while_probes_hang(watchbridge, target: Target, tmp_path: Path) -> None:
    """SIGTERM during probes that hang: the end comes soon, what was seen is stored, no child of a command stays."""
    mark = tmp_path / "started"
    script = tmp_path / "hangs"
    script.write_text(f"#!/bin/sh\necho $$ >> {mark}\nsleep 600 & echo $! >> {mark}\nwait\n")
    script.chmod(0o755)
    slow = {"every": "1s", "timeout": "100s"}
    with black_hole() as hole:
        services = {
            "web": web(target.url()),
            "hole": web(f"http://127.0.0.1:{hole}/", probe=slow),
            "command": {"probe": {"kind": "command", "argv": [str(script)], **slow}},
        }
        program = watchbridge("serve", config=configuration(tmp_path, services))
        until(lambda: mark.exists() and len(mark.read_text().split()) == 2, 15, "the command to start")
        until(lambda: target.asked() >= 3, 15, "three runs")
        began = time.monotonic()
        assert program.stop(20) == 0
        assert time.monotonic() - began < 14
    assert "Traceback" not in program.output()
    path = tmp_path / "state" / "watchbridge.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        (stored,) = database.execute("SELECT count(*) FROM service_status").fetchone()
        (counted,) = database.execute("SELECT sum(runs_success + runs_failure) FROM service_totals").fetchone()
    assert stored == counted
    assert target.asked() <= stored <= target.asked() + 2
    for pid in map(int, mark.read_text().split()):
        until(lambda pid=pid: _gone(pid), 5, f"the end of {pid}")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def test_a_killed_one_leaves_no_command_that_it_times_out(watchbridge, tmp_path: Path) -> None:
    """A command past its timeout is killed with all that it started, again and again, and the service is down."""
    mark = tmp_path / "started"
    script = tmp_path / "hangs"
    script.write_text(f"#!/bin/sh\necho $$ >> {mark}\nsleep 600 & echo $! >> {mark}\nwait\n")
    script.chmod(0o755)
    probe = {"kind": "command", "argv": [str(script)], "every": "1s", "timeout": "500ms"}
    program = watchbridge("serve", config=configuration(tmp_path, {"command": {"probe": probe}}))
    wait_state(program, "command", "down")
    until(lambda: runs(metrics(program), "command") >= 3, 15, "three runs")
    pids = [int(word) for word in mark.read_text().split()[:6]]
    assert len(pids) == 6
    for pid in pids:
        until(lambda pid=pid: _gone(pid), 5, f"the end of {pid}")
    assert program.stop() == 0
