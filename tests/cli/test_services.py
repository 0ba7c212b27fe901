"""`watchbridge services` as its users start it: beside a store that a server has filled, or none has."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.circuit import Circuit, Key
from exporter.cli import tables
from exporter.cli.package_report import utc_time
from exporter.store import (
    circuits,
    client_services,
    clients,
    replicas,
    service_editing,
    service_restarts,
    service_states,
    service_status,
)
from exporter.store.client_services import FileService
from exporter.store.credentials import KeyRing
from exporter.store.options import StoreOptions
from exporter.store.service_restarts import ServiceRestart
from exporter.store.service_states import Stretch
from exporter.store.service_status import StoredReading
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEY = "q8Vt2mXw9LzR4cYh7NbK1dGs5JfPa3Ue"
HOUR = 3600.0


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHBRIDGE_", "ENCRYPTION_"))}
    return subprocess.run(
        [sys.executable, "-m", "exporter", "services", *words],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env=kept | {"TZ": "UTC", "PYTHONIOENCODING": "utf-8"} | environment,
    )


def printed(*words: str, **environment: str) -> Any:
    """Return what a command prints as JSON."""
    done = run(*words, "--output", "json", **environment)
    assert done.returncode in {0, 1}, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def target() -> Iterator[socket.socket]:
    """Give a TCP port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def config(tmp_path: Path, target: socket.socket) -> Path:
    """Give a configuration of an up and a down service, and the place of its store, which is not there yet."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(
        f"""
store: sqlite:///{tmp_path}/data/watchbridge.db
services:
  web: {{client: acme, probe: {{kind: tcp, address: "127.0.0.1:{target.getsockname()[1]}"}}}}
  gone: {{probe: {{kind: tcp, address: "127.0.0.1:1"}}}}
  odd: {{probe: {{kind: sql, database: lost, query: SELECT 1}}}}
databases: {{lost: {{url: "sqlite:///{tmp_path}/no/such.db"}}}}
""",
        encoding="utf-8",
    )
    return path


def filled(path: Path, *, seen: float = 0.0, ended: bool = False) -> None:
    """Fill the store as a server does that has watched for an hour, `seen` seconds ago for the last time."""

    async def fill() -> None:
        options = StoreOptions.from_scalar(f"sqlite:///{path.parent}/data/watchbridge.db")
        store = await Store.open(options, time, exclusive=True)
        try:
            await write(store)
        finally:
            await store.close()

    async def write(store: Store) -> None:
        now = time.time() - seen
        named = {"web": "acme", "gone": "default", "odd": "default"}
        rows = [
            FileService(
                client, name, f"{name}:1", enabled=True, cron_schedule=None, timeout_ms=5000, expected_status_code=None
            )
            for name, client in named.items()
        ]
        ids = {name: number for (_, name), number in (await client_services.registered(store, rows)).items()}
        other = (await clients.create(store, "other")).id
        keys = KeyRing.parse(KEY)
        for name in ("web", "login"):
            await service_editing.create(
                store,
                keys,
                {
                    "client_id": other,
                    "name": name,
                    "endpoint_url": "http://127.0.0.1:1/",
                    "basic_auth_username": "ann",
                    "basic_auth_password": "s3cret",
                },
            )
        stretches = [
            Stretch(ids["web"], "down", "refused", now - HOUR, "me", now - HOUR / 2),
            Stretch(ids["web"], "up", "connected", now - HOUR / 2, "me"),
            Stretch(ids["gone"], "down", "refused\x1b[31m", now - HOUR, "me"),
        ]
        readings = [
            StoredReading(ids["web"], "down", now - HOUR / 2 - 60, None, 3.14, "it was refused", "refused"),
            StoredReading(ids["web"], "up", now - 20, None, 1.25),
            StoredReading(ids["gone"], "down", now - 10, None, 0.5, 'refused \x1b[31m now, "quoted"', "refused"),
        ]
        async with store.writing() as connection:
            await service_states.opened(connection, stretches)
            await service_status.add(connection, readings)
            await replicas.beat(connection, "me", now - HOUR, now)
        if ended:
            await replicas.ended(store, "me", now)

    asyncio.run(fill())


def by_name(rows: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {f"{row['client']}/{row['service']}": row for row in rows}


@pytest.mark.alone
def test_the_list_tells_state_uptime_and_why(config: Path) -> None:
    """As JSON, CSV and a table; 1 says that one is down, and nothing in a reason steers the terminal."""
    filled(config)
    done = run("list", "--config", str(config), "--output", "json")
    assert (done.returncode, done.stderr) == (1, "")
    rows = by_name(json.loads(done.stdout))
    assert set(rows) == {"acme/web", "default/gone", "default/odd", "other/web", "other/login"}
    web = rows["acme/web"]
    assert (web["state"], web["reason"], web["response_time_ms"]) == ("up", "its last run found it well", 1.2)
    assert web["uptime_24h"] == pytest.approx(0.5, abs=0.01)
    assert rows["default/gone"]["state"] == "down"
    assert rows["default/gone"]["reason"] == 'refused \x1b[31m now, "quoted"'
    assert (rows["default/odd"]["state"], rows["default/odd"]["since"]) == ("unknown", None)
    read = list(csv.DictReader(io.StringIO(run("list", "--config", str(config), "--output", "csv").stdout)))
    assert {row["service"]: row["state"] for row in read if row["client"] != "other"} == {
        "web": "up", "gone": "down", "odd": "unknown",
    }  # fmt: skip
    assert [row["reason"] for row in read if row["service"] == "gone"] == ['refused \x1b[31m now, "quoted"']
    table = run("list", "--config", str(config))
    assert table.returncode == 1
    assert "\x1b" not in table.stdout
    lines = table.stdout.splitlines()
    assert lines[0].split()[:3] == ["Client", "Service", "State"]
    assert len(lines) == 6
    assert "50.000 %" in next(line for line in lines if line.startswith("acme"))


@pytest.mark.parametrize(
    ("words", "names", "status"),
    [
        pytest.param(("web",), None, 2, id="one name of two clients"),
        pytest.param(("acme/web",), ["acme/web"], 0, id="with its client"),
        pytest.param(("other/web", "gone"), ["default/gone", "other/web"], 1, id="two"),
        pytest.param(("--client", "other"), ["other/login", "other/web"], 0, id="of a client"),
        pytest.param(("--state", "down"), ["default/gone"], 1, id="in a state"),
        pytest.param(("--state", "degraded"), [], 0, id="none in a state"),
        pytest.param(("gonne",), None, 2, id="a name mistyped"),
        pytest.param(("--state", "sideways"), None, 2, id="a state that is none"),
    ],
)
def test_the_list_can_be_narrowed(config: Path, words: tuple[str, ...], names: list[str] | None, status: int) -> None:
    filled(config)
    done = run("list", *words, "--config", str(config), "--output", "json")
    assert done.returncode == status
    if names is None:
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        if words == ("web",):
            assert "several clients: write CLIENT/NAME" in done.stderr
        if words == ("gonne",):
            assert "did you mean 'gone'?" in done.stderr
    else:
        assert sorted(by_name(json.loads(done.stdout))) == names


def test_what_is_no_longer_configured_is_listed_when_asked_for(config: Path) -> None:
    """By its name, or with --all: its history is still there."""
    filled(config)

    async def register() -> None:
        store = await Store.open(
            StoreOptions.from_scalar(f"sqlite:///{config.parent}/data/watchbridge.db"), time, exclusive=True
        )
        await client_services.registered(store, [])
        await store.close()

    asyncio.run(register())
    kept = {"other/web", "other/login"}
    assert set(by_name(printed("list", "--config", str(config)))) == kept
    every = by_name(printed("list", "--all", "--config", str(config)))
    assert set(every) == kept | {"acme/web", "default/gone", "default/odd"}
    assert every["acme/web"]["reason"] == "it is disabled, or no longer configured"
    assert set(by_name(printed("list", "odd", "--config", str(config)))) == {"default/odd"}


@pytest.mark.parametrize(
    ("seen", "ended"), [pytest.param(60.0, False, id="killed"), pytest.param(1.0, True, id="ended well")]
)
def test_without_a_running_server_the_state_is_unknown_and_the_history_there(
    config: Path,
    seen: float,
    ended: bool,  # noqa: FBT001 - a parameter
) -> None:
    filled(config, seen=seen, ended=ended)
    (row,) = printed("list", "acme/web", "--config", str(config))
    assert (row["state"], row["since"]) == ("unknown", None)
    assert row["reason"] == "no Watchbridge watches it now: start it, or look at its log"
    assert row["uptime_24h"] == pytest.approx(0.5, abs=0.01)
    assert len(printed("history", "acme/web", "--config", str(config))) == 2


def test_show_tells_all_of_one(config: Path) -> None:
    filled(config)
    before = utc_time(time.time())
    shown = printed("show", "acme/web", "--config", str(config))
    assert (shown["origin"], shown["enabled"], shown["endpoint"]) == ("file", True, "web:1")
    assert {f"uptime_{window}" for window in ("1h", "24h", "7d", "30d", "90d")} <= set(shown)
    other = printed("show", "other/login", "--config", str(config))
    assert other["origin"] == "api"
    assert other["runs"] == "*/5 * * * * (UTC)"
    assert before < other["next_run"] <= utc_time(time.time() + 300)
    assert shown["runs"] == "every 1m"
    assert shown["last_run"] < shown["next_run"] <= utc_time(time.time() + 60)
    table = run("show", "acme/web", "--config", str(config))
    assert table.returncode == 0
    assert "configuration file" in table.stdout
    assert "s3cret" not in json.dumps(other) + table.stdout


def test_history_tells_readings_and_stretches_the_newest_first(config: Path) -> None:
    filled(config)
    readings = printed("history", "acme/web", "--config", str(config))
    assert [row["state"] for row in readings] == ["up", "down"]
    assert (readings[1]["reason"], readings[1]["cause"], readings[1]["response_time_ms"]) == (
        "it was refused", "refused", 3.1,
    )  # fmt: skip
    for extra in ((), ("--stretches",)):
        cut = run("history", "acme/web", "--limit", "1", *extra, "--config", str(config), "--output", "json")
        assert json.loads(cut.stdout)[0]["state"] == "up"
        assert (len(json.loads(cut.stdout)), cut.stderr) == (
            1,
            "These are the newest 1: a higher --limit shows more.\n",
        )
    assert run("history", "acme/web", "--limit", "2", "--config", str(config)).stderr == ""
    stretches = printed("history", "acme/web", "--stretches", "--config", str(config))
    assert [(row["state"], row["ended_at"] is None) for row in stretches] == [("up", True), ("down", False)]
    assert stretches[1]["seconds"] == pytest.approx(1800, abs=1)
    assert "30m" in run("history", "acme/web", "--stretches", "--config", str(config)).stdout
    none = run("history", "odd", "--config", str(config))
    assert (none.returncode, none.stdout) == (0, "Nothing in that time.\n")
    assert run("history", "acme/web", "--since", "yesterday", "--config", str(config)).returncode == 2


@pytest.mark.parametrize("words", [("list",), ("show", "web"), ("history", "web")], ids=" ".join)
def test_without_a_store_the_commands_say_so(config: Path, words: tuple[str, ...]) -> None:
    """3: could not reach what it needs; and looking makes no store."""
    done = run(*words, "--config", str(config))
    assert done.returncode == 3
    assert done.stdout == ""
    assert "there is no such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (config.parent / "data").exists()


def test_an_empty_store_has_no_service(tmp_path: Path) -> None:
    path = tmp_path / "watchbridge.yml"
    path.write_text(f"store: sqlite:///{tmp_path}/data/watchbridge.db\n", encoding="utf-8")
    options = StoreOptions.from_scalar(f"sqlite:///{tmp_path}/data/watchbridge.db")

    async def make() -> None:
        await (await Store.open(options, time, exclusive=True)).close()

    asyncio.run(make())
    done = run("list", "--config", str(path))
    assert (done.returncode, done.stdout) == (0, "No service.\n")
    assert printed("list", "--config", str(path)) == []
    assert run("show", "web", "--config", str(path)).returncode == 2


def test_check_probes_now_and_explains_on_the_side(config: Path) -> None:
    """0 up, 1 down, 3 the probe itself could not run; no store is needed, and data stands alone on standard output."""
    up = run("check", "web", "--config", str(config), "--output", "json")
    assert up.returncode == 0
    row = json.loads(up.stdout)
    assert (row["client"], row["service"], row["kind"], row["state"], row["cause"]) == (
        "acme", "web", "tcp", "up", None,
    )  # fmt: skip
    assert up.stderr.count("\n") >= 1
    assert run("check", "acme/web", "--config", str(config)).returncode == 0
    down = run("check", "gone", "--config", str(config))
    assert down.returncode == 1
    assert "gone is down: " in down.stdout
    odd = run("check", "odd", "--config", str(config))
    assert odd.returncode in {1, 3}
    (row,) = csv.DictReader(io.StringIO(run("check", "web", "--config", str(config), "--output", "csv").stdout))
    assert set(json.loads(row["phases_ms"])) >= {"connect"}
    unknown = run("check", "wep", "--config", str(config))
    assert unknown.returncode == 2
    assert "did you mean 'web'?" in unknown.stderr
    assert not (config.parent / "data").exists()


def test_check_shows_no_secret_that_a_peer_sends_back(tmp_path: Path) -> None:
    """A service may tell in its health document what it was sent; neither a step nor the sentence repeats it."""
    body = json.dumps({"status": "ok", "checks": {"Bearer s3cret-t0ken": "down"}}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            for _ in range(2):
                with listening.accept()[0] as peer:
                    peer.recv(65536)
                    peer.sendall(answer)

        serving = threading.Thread(target=talk)
        serving.start()
        path = tmp_path / "watchbridge.yml"
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        path.write_text(
            f"services:\n  web: {{probe: {{kind: http, url: {url!r}, bearer_token: s3cret-t0ken}}}}\n", encoding="utf-8"
        )
        for output in ("table", "json"):
            done = run("check", "web", "--config", str(path), "--output", output)
            assert done.returncode == 1, done.stderr
            assert "Bearer <secret>" in done.stdout
            assert "s3cret-t0ken" not in done.stdout + done.stderr
        serving.join(20)


def test_check_asks_the_store_too(config: Path) -> None:
    """A name of several clients is told apart; credentials that cannot be read are said, not left out."""
    filled(config)
    both = run("check", "web", "--config", str(config))
    assert both.returncode == 2
    assert "several clients: write CLIENT/NAME" in both.stderr
    assert run("check", "acme/web", "--config", str(config)).returncode == 0
    assert run("check", "other/login", "--config", str(config), ENCRYPTION_KEY=KEY).returncode == 1
    unread = run("check", "other/login", "--config", str(config), "--output", "json")
    assert unread.returncode == 3
    assert (json.loads(unread.stdout)["state"], json.loads(unread.stdout)["cause"]) == ("unknown", "config")
    assert "s3cret" not in unread.stdout + unread.stderr


@pytest.mark.parametrize("words", [("list",), ("check", "web")], ids=" ".join)
def test_a_bad_configuration_is_a_usage_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "bad.yml"
    path.write_text("services: {web: {probe: {kind: tpc}}}\n", encoding="utf-8")
    done = run(*words, "--config", str(path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


RESTARTED = """
services:
  db: {restart: {kind: command, argv: [/bin/true], verify: {kind: tcp, address: "127.0.0.1:1"}}}
  gone:
    group: back
    criticality: high
    depends_on: [db]
    probe: {kind: tcp, address: "127.0.0.1:1"}
    restart: {kind: command, argv: [/bin/true]}
"""


def restarted(config: Path) -> None:
    """Store what was restarted: today, a day ago, and eight days ago; and the circuit that it opened."""
    filled(config)
    config.write_text(f"store: sqlite:///{config.parent}/data/watchbridge.db\n{RESTARTED}", encoding="utf-8")
    now = time.time()

    def attempt(ago: float, *, verified: bool | None, **values: Any) -> ServiceRestart:
        at = now - ago
        given = {"acted": True, "ended_at": at + 2.5, "detail": "it is down: refused \x1b[31m"} | values
        return ServiceRestart("gone", "back", int(ago), 1, "r1", "command", "rule", at, verified=verified, **given)

    async def write() -> None:
        options = StoreOptions.from_scalar(f"sqlite:///{config.parent}/data/watchbridge.db")
        store = await Store.open(options, time, exclusive=False)
        try:
            async with store.writing() as connection:
                await service_restarts.begun(
                    connection,
                    [
                        attempt(0.5, verified=None, acted=None, ended_at=None, detail=""),
                        attempt(86_400, verified=False),
                        attempt(86_410, verified=None, acted=False, detail="it is up"),
                        attempt(86_420, verified=True),
                        attempt(8 * 86_400, verified=True),
                    ],
                )
                await circuits.put(connection, {Key("service", "gone"): Circuit(3, 1, now, now + 300)})
        finally:
            await store.close()

    asyncio.run(write())


def test_history_tells_each_restart_and_how_often_that_helped(config: Path) -> None:
    """The newest first, of the last seven days where nothing is said, with a line for each day; nothing steers."""
    restarted(config)
    words = ("history", "gone", "--restarts", "--config", str(config))
    found = printed(*words)
    assert found["service"] == "gone"
    assert [(row["acted"], row["verified"], row["seconds"]) for row in found["restarts"]] == [
        (None, None, None), (True, False, 2.5), (False, None, 2.5), (True, True, 2.5),
    ]  # fmt: skip
    assert {row["kind"] for row in found["restarts"]} == {"command"}
    assert found["restarts"][0]["detail"] == "it runs"
    days = [day for day in found["days"] if day["attempts"]]
    assert len(found["days"]) == 8
    totals = {name: sum(day[name] for day in days) for name in ("attempts", "restarted", "verified", "failed")}
    assert totals["restarted"] - totals["verified"] == 1
    assert totals["failed"] == 1
    table = run(*words)
    assert (table.returncode, "\x1b" in table.stdout) == (0, False)
    assert table.stdout.splitlines()[0].split() == [
        "Began",
        "at",
        "Kind",
        "Origin",
        "Acted",
        "Verified",
        "Took",
        "Detail",
    ]
    assert "  2.5 s  it is down: refused" in table.stdout
    assert "\nDay " in table.stdout
    assert len(printed(*words, "--since", "30d")["restarts"]) == 5
    rows = list(csv.DictReader(io.StringIO(run(*words, "--limit", "2", "--output", "csv").stdout)))
    assert [row["item"] for row in rows] == ["0", "86400"]
    assert run("history", "db", "--restarts", "--config", str(config)).stdout == "No restart in that time.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gonne", "--restarts"), "There is no single service 'gonne' (did you mean 'gone'?)"),
        (("gone", "--restarts", "--stretches"), "Give --stretches or --restarts, not both."),
        (("gone", "--restarts", "--since", "soon"), "--since"),
    ],
)
def test_history_of_restarts_that_cannot_be_meant(config: Path, words: tuple[str, ...], said: str) -> None:
    restarted(config)
    done = run("history", *words, "--config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_show_tells_how_it_is_restarted(config: Path) -> None:
    """Also of a service that is restarted alone, and never watched."""
    restarted(config)
    row = printed("show", "gone", "--config", str(config))
    names = ("state", "group", "criticality", "depends_on", "restart", "circuit")
    assert [row[name] for name in names] == ["down", "back", "high", ["db"], "command", "open"]
    assert row["last_restart"].endswith("Z, runs")
    row = printed("show", "db", "--config", str(config))
    assert row == {
        "service": "db", "group": None, "criticality": "normal", "depends_on": [], "restart": "command",
        "circuit": "closed", "last_restart": None,
    }  # fmt: skip
    table = run("show", "gone", "--config", str(config)).stdout
    assert "Depends on" in table
    assert "['db']" not in table


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.999999, "99.999 %"), (0.5, "50.000 %"), (0.0, "0.000 %"), (None, "-")],
)
def test_a_share_is_never_rounded_up_to_all(share: float | None, text: str) -> None:
    assert tables.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (59.9, "59s"), (60.0, "1m"), (3661.0, "1h 1m"), (86_400.0, "1d"), (90_061.0, "1d 1h")],
)
def test_a_time_span_is_in_two_units(seconds: float, text: str) -> None:
    assert tables.duration(seconds) == text


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        pytest.param(None, "web  it was refused by the 日本 firewall", id="no terminal"),
        pytest.param(80, "web  it was refused by the 日本 firewall", id="wide enough"),
        pytest.param(32, "web  it was refused by the 日本…", id="cut behind a wide letter"),
        pytest.param(31, "web  it was refused by the 日…", id="cut before a wide letter"),
        pytest.param(10, "web  it was refused by t…", id="never to less than twenty cells"),
    ],
)
def test_a_table_on_a_terminal_cuts_its_last_column_to_fit(columns: int | None, shown: str) -> None:
    rows = [("web", "it was refused by the 日本 firewall")]
    assert tables.table(("A", "B"), rows, columns).splitlines()[1] == shown


def test_a_table_is_aligned_also_with_wide_letters() -> None:
    lines = tables.table(("A", "B"), [("日本", "x"), ("long name", "y\x07")]).splitlines()
    assert lines[1].index("x") == lines[0].index("B") - 2
    assert "\x07" not in lines[2]
