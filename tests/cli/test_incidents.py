"""`watchbridge incidents` beside a real store: what was heard, what it led to, and why nothing was done."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.alerts import Alert, Delivery
from exporter.bridge.intake import Intake
from exporter.bridge.terms import terms
from exporter.clock import SystemClock
from exporter.config import load
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def alert(name: str, status: Any = "firing", **labels: str) -> Alert:
    ends = START + 60 if status == "resolved" else None
    known = {"alertname": name, **labels}
    return Alert(f"{name}-{'-'.join(labels.values())}", status, known, {"summary": "it \ufffd[31mfailed"}, START, ends)


@pytest.fixture
def config(tmp_path: Path, new_store: Callable[[Path], None]) -> Path:
    """Give a configuration with rules, beside a store that has heard of four alerts, of which one has resolved."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(
        f"""
store: sqlite:///{tmp_path}/data/watchbridge.db
queues:
  user-sync: {{action: {{kind: command, argv: [/bin/echo, "{{key}}"]}}}}
  manual: {{}}
rules:
  - {{name: sync, matchers: ['alertname="Sync"'], action: enqueue, queue: user-sync, key: "{{user_id}}"}}
  - {{name: hand, matchers: ['alertname="Hand"'], action: enqueue, queue: manual}}
""",
        encoding="utf-8",
    )
    new_store(tmp_path / "data")

    async def hear() -> None:
        configuration = load(path)
        store = await Store.open(configuration.store, time, exclusive=False)
        intake = Intake(store, SystemClock(), "", terms(configuration))
        intake.start()
        for alerts in (
            (alert("Sync", user_id="42"), alert("Sync"), alert("Hand"), alert("Else")),
            (alert("Hand", "resolved"), alert("Sync", user_id="42")),
        ):
            await intake.take(Delivery("watchbridge", "group", alerts))
        await intake.close()
        await store.close()

    asyncio.run(hear())
    return path


@pytest.fixture
def run(watchbridge: Callable[..., Any], config: Path) -> Callable[..., Any]:
    """Give a function that runs `incidents` with that configuration."""
    return lambda *words: watchbridge("incidents", *words, "--config", config)


@pytest.fixture
def printed(run: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that returns what a command prints as JSON."""

    def read(*words: object) -> Any:
        done = run(*words, "--output", "json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return read


def numbered(printed: Callable[..., Any], **labels: str) -> int:
    (number,) = [row["id"] for row in printed("--all") if {**row["labels"], **labels} == row["labels"]]
    return int(number)


def test_the_open_ones_are_listed_where_no_command_is_named(
    run: Callable[..., Any], printed: Callable[..., Any]
) -> None:
    """`watchbridge incidents` is `watchbridge incidents list`."""
    names = [(row["alertname"], row["state"]) for row in printed()]
    assert sorted(names) == [("Else", "open"), ("Sync", "open"), ("Sync", "open")]
    assert printed() == printed("list")
    assert run().out == run("list").out
    assert run().out.split()[:3] == ["Id", "State", "Alertname"]
    assert "user_id=42" in run().out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--all",), ["Else", "Hand", "Sync", "Sync"]),
        (("--state", "resolved"), ["Hand"]),
        (("--state", "resolved", "--state", "open"), ["Else", "Hand", "Sync", "Sync"]),
        (("--alertname", "Sync"), ["Sync", "Sync"]),
        (("--alertname", "Hand"), []),
        (("--state", "late"), []),
    ],
)
def test_the_list_can_be_narrowed(printed: Callable[..., Any], words: tuple[str, ...], names: list[str]) -> None:
    assert sorted(row["alertname"] for row in printed(*words)) == names


def test_the_list_is_bounded_the_newest_first_and_also_csv(run: Callable[..., Any]) -> None:
    done = run("--all", "--limit", "2", "--output", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [int(row["id"]) for row in rows] == sorted((int(row["id"]) for row in rows), reverse=True)
    assert json.loads(rows[0]["labels"])["alertname"]
    assert done.err == "These are the newest 2: a higher --limit shows more.\n"
    assert run("--state", "late").out == "No incident.\n"
    assert run("--state", "sideways").code == 2


def test_show_tells_what_it_led_to_and_why_nothing_was_done(
    run: Callable[..., Any], printed: Callable[..., Any]
) -> None:
    number = numbered(printed, user_id="42")
    row = printed("show", number)
    assert (row["state"], row["deliveries"], row["receiver"], row["closed_at"]) == ("open", 2, "watchbridge", None)
    assert row["starts_at"] == "2026-03-01T12:00:00Z"
    (item,) = row["items"]
    assert (item["queue"], item["key"], item["state"], item["hold"], item["rule"]) == (
        "user-sync", "42", "cancelled", "mode", "sync",
    )  # fmt: skip
    assert "`mode` is observe" in item["why"]
    (decision,) = row["decisions"]
    assert (decision["rule"], decision["verdict"]) == ("sync", "observe")
    assert [one["what"] for one in row["history"]] == ["opened"]
    text = run("show", number).out
    for said in ("Labels\n", "user_id    42", "Items\n", "`mode` is observe", "History\n"):
        assert said in text


def test_show_tells_what_was_refused_and_what_no_rule_wants(printed: Callable[..., Any]) -> None:
    """An incident without any item says why, too."""
    whole = {row["alertname"]: row["id"] for row in printed("--all") if "user_id" not in row["labels"]}
    refused = printed("show", whole["Sync"])
    assert refused["items"] == []
    assert refused["decisions"][0]["verdict"] == "refuse"
    assert "there is no 'user_id'" in refused["decisions"][0]["reason"]
    unmatched = printed("show", whole["Else"])
    assert (unmatched["items"], unmatched["decisions"]) == ([], [])
    assert [one["why"] for one in unmatched["history"]] == ["no rule matches it"]


def test_show_tells_of_the_end_and_of_what_it_cancelled(printed: Callable[..., Any]) -> None:
    row = printed("show", numbered(printed, alertname="Hand"))
    assert (row["state"], row["ended_at"]) == ("resolved", "2026-03-01T12:01:00Z")
    assert row["closed_at"] is not None
    assert [(item["state"], item["hold"]) for item in row["items"]] == [("cancelled", "resolved")]
    assert [one["what"] for one in row["history"]] == ["opened", "closed"]


def test_an_incident_that_nobody_knows_is_a_sentence(run: Callable[..., Any]) -> None:
    done = run("show", "99")
    assert (done.code, done.out) == (1, "")
    assert "There is no incident 99: `watchbridge incidents --all`" in done.err
    assert run("show", "x").code == 2
    assert run("shwo").code == 2


def test_hostile_labels_cannot_steer_a_terminal(
    watchbridge: Callable[..., Any], config: Path, printed: Callable[..., Any]
) -> None:
    """Also those that another program wrote into the store."""

    async def spoil() -> None:
        from sqlalchemy import update

        from exporter.store.bridge_tables import incidents

        store = await Store.open(load(config).store, time, exclusive=False)
        async with store.writing() as connection:
            labels = json.dumps({"alertname": "\x1b[2J", "a\x07": "\u202eb\nforged"})
            await connection.execute(update(incidents).values(labels=labels, annotations=labels))
        await store.close()

    asyncio.run(spoil())
    for words in (("list",), ("show", "1")):
        done = watchbridge("incidents", *words, "--config", config)
        assert done.code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(done.out)
        assert "\nforged" not in done.out
    assert printed("show", "1")["labels"]["alertname"] == "\x1b[2J"


@pytest.mark.parametrize("words", [(), ("--all",), ("show", "1")], ids=" ".join)
def test_without_a_store_the_commands_say_so(
    watchbridge: Callable[..., Any], tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "watchbridge.yml"
    path.write_text(f"store: sqlite:///{tmp_path}/none/watchbridge.db\n", encoding="utf-8")
    done = watchbridge("incidents", *words, "--config", path)
    assert (done.code, done.out) == (3, "")
    assert "there is no such file" in done.err
    assert not (tmp_path / "none").exists()


def test_it_explains_itself(watchbridge: Callable[..., Any]) -> None:
    every = watchbridge("incidents", "--help")
    assert every.code == 0
    assert "  list " in every.out
    for word in ("list", "show"):
        assert "Exit status: 0" in watchbridge("incidents", word, "--help").out


def test_a_closed_standard_output_is_a_sentence(config: Path) -> None:
    """B18: as a user starts it."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m exporter incidents >&-"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "WATCHBRIDGE_CONFIG": str(config)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("watchbridge: The output cannot be written")
