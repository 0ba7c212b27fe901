"""`watchbridge windows` as its users start it: beside a store that a server has made."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import pytest
from servers.watched import NOON

from exporter import config as configuring
from exporter.cli import window_flags
from exporter.cli.window_flags import Wanted
from exporter.schedule import Cron
from exporter.store import audit, clients, service_editing
from exporter.store.options import StoreOptions
from exporter.store.store import Store
from exporter.windows import Window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

SERVICES = """
services:
  web: {group: frontend, probe: {kind: tcp, address: "127.0.0.1:1"}}
  db: {probe: {kind: tcp, address: "127.0.0.1:1"}}
"""
WINDOWS = """
windows:
  - {all: true, start: "2020-01-01T00:00", end: "2020-01-02T00:00", comment: long ago}
  - {groups: [frontend], cron: "0 2 * * 0", duration: 2h, timezone: Europe/Bucharest, comment: weekly updates}
"""


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHBRIDGE_")}
    return subprocess.run(
        [sys.executable, "-m", "exporter", "windows", *words],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env=kept | {"TZ": "UTC", "PYTHONIOENCODING": "utf-8"} | environment,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give a configuration, and the place of its store, which is not there yet."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(f"store: sqlite:///{tmp_path}/data/watchbridge.db\n{SERVICES}{WINDOWS}", encoding="utf-8")
    return path


def served(path: Path, work: Callable[[Store], Awaitable[Any]] | None = None) -> Any:
    """Make the store as a server does, and work with it."""

    async def serve() -> Any:
        options = StoreOptions.from_scalar(f"sqlite:///{path.parent}/data/watchbridge.db")
        store = await Store.open(options, time, exclusive=True)
        try:
            return None if work is None else await work(store)
        finally:
            await store.close()

    return asyncio.run(serve())


def moment(text: str) -> float:
    """Return a printed time in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def test_a_window_is_added_listed_and_ended(config: Path) -> None:
    """Beside the store that a server made; the audit tells who did it."""
    served(config)
    words = ("--config", str(config))
    began = int(time.time())
    done = run("add", "--service", "db", "--for", "2h", "--comment", "new \x1b[31mdisk", *words, "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    (added,) = json.loads(done.stdout)
    assert moment(added["ends"]) - moment(added["begins"]) == 7200.0
    assert began <= moment(added["begins"]) <= time.time()
    number = str(added["id"])
    done = run("list", *words)
    assert (done.returncode, done.stderr) == (0, "")
    heading, of_file, ours = done.stdout.splitlines()
    assert heading.split() == ["Id", "State", "What", "Begins", "Ends", "Repeats", "Origin", "Comment"]
    assert of_file.startswith("- ")
    assert "configuration file" in of_file
    assert "0 2 * * 0 (Europe/Bucharest) for 2h" in of_file
    assert "long ago" not in done.stdout
    assert ours.split()[:4] == [number, "active", "service", "db"]
    assert "command line" in ours
    assert "\x1b" not in done.stdout
    done = run("end", number, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"Ended the window {number}.\n")
    done = run("end", number, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Over already" in done.stderr
    rows = list(csv.DictReader(io.StringIO(run("list", "--past", *words, "--output", "csv").stdout)))
    assert [(row["id"], row["state"], row["comment"]) for row in rows if row["state"] == "past"] == [
        ("", "past", "long ago"),
        (number, "past", "new \x1b[31mdisk"),
    ]
    entries = served(config, lambda store: audit.of(store, "window", int(number)))
    assert [(one.verb, one.actor.partition(":")[0]) for one in entries] == [("added", "cli"), ("ended", "cli")]


def test_several_frames_are_several_windows_and_one_unknown_id_ends_none(config: Path) -> None:
    served(config)
    words = ("--config", str(config))
    frames = ("--cron", "0 2 * * *", "--cron", "0 4 * * 1", "--for", "90m", "--timezone", "Europe/Bucharest")
    rows = json.loads(run("add", "--all", *frames, *words, "--output", "json").stdout)
    assert [row["repeats"] for row in rows] == [
        "0 2 * * * (Europe/Bucharest) for 1h30m",
        "0 4 * * 1 (Europe/Bucharest) for 1h30m",
    ]
    numbers = [str(row["id"]) for row in rows]
    for unknown in ("-", "x\x1b[31m"):
        done = run("end", "--config", str(config), "--", numbers[0], unknown)
        assert (done.returncode, done.stdout) == (1, "")
        assert "nothing was ended" in done.stderr
        assert "\x1b" not in done.stderr
    done = run("end", *numbers, numbers[0], *words)
    assert (done.returncode, done.stderr) == (0, "".join(f"Ended the window {one}.\n" for one in numbers))
    past = [row for row in json.loads(run("list", "--past", *words, "--output", "json").stdout) if row["id"]]
    assert [(row["state"], row["begins"], row["ends"] is None) for row in past] == [("past", None, False)] * 2


def test_a_service_that_the_store_names_alone_is_known(config: Path) -> None:
    """One that was made through the API; one mistyped has the nearest name and stores nothing."""

    async def make(store: Store) -> None:
        client = (await clients.create(store, "acme")).id
        fields = {"client_id": client, "name": "payments", "endpoint_url": "http://127.0.0.1:1/"}
        await service_editing.create(store, None, fields)

    served(config, make)
    done = run("add", "--service", "paymets", "--for", "1h", WATCHBRIDGE_CONFIG=str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no service 'paymets'; did you mean 'payments'?" in done.stderr
    done = run("add", "--service", "payments", "--for", "1h", WATCHBRIDGE_CONFIG=str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:]] == [["1", "service", "payments"]]


def test_without_a_store_it_says_what_to_do(config: Path) -> None:
    done = run("list", "--config", str(config))
    assert (done.returncode, done.stdout) == (3, "")
    assert "start `watchbridge serve` once" in done.stderr
    assert "Traceback" not in done.stderr


def planned(**keys: Any) -> list[Window]:
    """Return what these options plan at noon."""
    nothing: dict[str, Any] = {
        "services": (), "groups": (), "everything": False, "length": None, "starts": (), "ends": (), "crons": (),
        "timezone": "UTC", "comment": "",
    }  # fmt: skip
    configuration = configuring.parse(SERVICES, name="test.yml")
    return window_flags.windows(Wanted(**nothing | keys), configuration, ["payments"], NOON + 0.75)


def once(start: float, end: float) -> Window:
    """Return a window for everything, in seconds from noon."""
    return Window(everything=True, start=NOON + start, end=NOON + end)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        pytest.param({"length": "2h"}, [once(0, 7200)], id="from now, a whole second"),
        pytest.param({"ends": ("2026-05-01T14:00",)}, [once(0, 7200)], id="from now until"),
        pytest.param(
            {"length": "90m", "starts": ("2026-05-01T11:00", "2026-05-02T15:00+03:00")},
            [once(-3600, 1800), once(86_400, 91_800)],
            id="from each start; one has begun",
        ),
        pytest.param(
            {"starts": ("2026-05-01T16:00", "2026-05-01T18:00"), "ends": ("2026-05-01T17:00", "2026-05-01T19:00")}
            | {"timezone": "Europe/Bucharest"},
            [once(3600, 7200), once(10_800, 14_400)],
            id="pairs, in their zone",
        ),
        pytest.param(
            {"starts": ("2026-10-25T03:15",), "length": "30m", "timezone": "Europe/Bucharest"},
            [once(15_250_500, 15_252_300)],
            id="in the repeated hour it is the first, and lasts in real time",
        ),
        pytest.param(
            {"crons": ("0 2 * * 0",), "length": "2h", "timezone": "Europe/Bucharest"},
            [Window(everything=True, cron=Cron.parse("0 2 * * 0", "Europe/Bucharest"), duration=7200.0)],
            id="cron",
        ),
    ],
)
def test_options_become_windows(keys: dict[str, Any], found: list[Window]) -> None:
    assert planned(everything=True, **keys) == found


def test_names_and_comment_are_taken_as_they_are() -> None:
    (window,) = planned(services=("web", "payments"), groups=("frontend",), length="1h", comment="a, b")
    assert (window.services, window.groups) == ({"web", "payments"}, {"frontend"})
    assert (window.everything, window.comment) == (False, "a, b")


ALL: dict[str, Any] = {"everything": True}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        pytest.param({"length": "2h"}, "Say for what: --service, --group or --all.", id="nothing named"),
        pytest.param({"services": ("wbe",), "length": "2h"}, "'wbe'; did you mean 'web'?", id="a service"),
        pytest.param({"groups": ("frnt",), "length": "2h"}, "no group 'frnt'; did you mean 'frontend'?", id="a group"),
        pytest.param(ALL, "Say how long: --for DURATION, or until when: --end TIME.", id="no time"),
        pytest.param(ALL | {"starts": ("2026-06-01T12:00",)}, "Say how long", id="a start alone"),
        pytest.param(ALL | {"crons": ("0 2 * * *",)}, "Say how long it lasts from each time", id="a cron alone"),
        pytest.param(ALL | {"crons": ("0 2 * * *",), "length": "1h", "starts": ("x",)}, "not both", id="both forms"),
        pytest.param(ALL | {"length": "1h", "ends": ("2026-06-01T12:00",)}, "not both", id="length and end"),
        pytest.param(ALL | {"ends": ("a", "b")}, "Give one --end for each --start.", id="unequal"),
        pytest.param(ALL | {"length": "2x"}, "found '2x', wanted a duration like 30s", id="no duration"),
        pytest.param(ALL | {"length": "0s"}, "found '0s', wanted 1s to 366d", id="no time at all"),
        pytest.param(ALL | {"length": "999999999y"}, "wanted 1s to 366d", id="longer than calendars"),
        pytest.param(ALL | {"length": "1h", "starts": ("soon",)}, "found 'soon', wanted a date and time", id="start"),
        pytest.param(ALL | {"length": "1h", "starts": ("9999-12-31T23:59",)}, "out of range", id="the last hour"),
        pytest.param(ALL | {"length": "1h", "starts": ("2026-05-01T11:00",)}, "has passed already", id="over"),
        pytest.param(
            ALL | {"starts": ("2026-04-01T11:00",), "ends": ("2026-05-01T12:00",)}, "has passed already", id="past"
        ),
        pytest.param(ALL | {"ends": ("2026-05-01T11:00",)}, "wanted a time after `start`", id="an end before now"),
        pytest.param(ALL | {"length": "1h", "timezone": "Mars"}, "found 'Mars', wanted a time zone", id="zone"),
        pytest.param(ALL | {"length": "1h", "crons": ("0 25 * * *",)}, "its hour '25' cannot be read", id="cron"),
        pytest.param(ALL | {"length": "1h", "comment": "x" * 501}, "longer than 500 characters", id="comment"),
    ],
)
def test_what_does_not_fit_together_is_told(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        planned(**keys)
    assert sentence in caught.value.format_message()
