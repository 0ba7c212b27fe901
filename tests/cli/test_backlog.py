"""`watchbridge backlog` beside a real store: added once, changed by hand, told, and carried to files and back."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.store import action_runs, backlog
from exporter.store.action_runs import ActionRun, Ended
from exporter.store.backlog import NewItem
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def url(path: Path) -> str:
    return f"sqlite:///{path.parent}/data/watchbridge.db"


def inside(config: Path, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Do something with the store of a configuration."""

    async def run() -> Any:
        store = await Store.open(StoreOptions.from_scalar(url(config)), time, exclusive=False)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


@pytest.fixture
def config(tmp_path: Path, new_store: Callable[[Path], None]) -> Path:
    """Give a configuration of a queue with an action and one without, beside an empty store."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(
        f"""
store: {url(path)}
backlog: {{queue: user-sync, log_file: {tmp_path}/backlog.log}}
mode: approve
services: {{web: {{probe: {{kind: tcp, address: "127.0.0.1:1"}}}}}}
windows: [{{services: [web], start: '2020-01-01T00:00', end: '2999-01-01T00:00'}}]
queues:
  user-sync: {{action: {{kind: command, argv: [/bin/echo, synced, "{{key}}"]}}}}
  manual: {{mode: auto}}
""",
        encoding="utf-8",
    )
    new_store(tmp_path / "data")
    return path


@pytest.fixture
def run(watchbridge: Callable[..., Any], config: Path) -> Callable[..., Any]:
    """Give a function that runs a `backlog` command with that configuration."""
    return lambda word, *words, **given: watchbridge("backlog", word, "--config", config, *words, **given)


@pytest.fixture
def printed(run: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that returns what a command prints as JSON."""

    def read(*words: object, code: int = 0, **given: Any) -> Any:
        done = run(*words, "--output", "json", **given)
        assert done.code == code, done.err
        return json.loads(done.out)

    return read


def stored(config: Path, *items: Mapping[str, Any]) -> None:
    """Store items as rules do, in order; each is told by what is special of it."""

    async def store_them(store: Store) -> None:
        now = time.time()
        fresh = [
            NewItem(
                **{
                    "queue": "user-sync",
                    "key": "k",
                    "reason": "",
                    "origin": "rule",
                    "state": "pending",
                    "mode": "approve",
                    "due_at": now,
                    **item,
                }
            )
            for item in items
        ]
        async with store.writing() as connection:
            await backlog.enqueued(connection, fresh, now)

    inside(config, store_them)


def states(printed: Callable[..., Any]) -> dict[int, str]:
    return {row["id"]: row["state"] for row in printed("list", "--all")}


def log_lines(config: Path) -> list[str]:
    """Return what the log file says, each line without its time."""
    lines = (config.parent / "backlog.log").read_text(encoding="utf-8").splitlines()
    assert all(re.match(f"{MOMENT} ", line) for line in lines)
    return [line.split(" ", 1)[1] for line in lines]


# add


def test_adding_twice_gives_one_item(run: Callable[..., Any], printed: Callable[..., Any], config: Path) -> None:
    """S2.16, S2.26: the id is printed, and whether it was there; the second time changes and logs nothing."""
    first = run("add", "42", "the", "sync failed")
    assert (first.code, first.out, first.err) == (0, "Added item 1: 42 in the queue user-sync.\n", "")
    assert run("add", "42").out == "There already is item 1: 42 in the queue user-sync.\n"
    assert printed("add", " 42 ", "again") == {"id": 1, "queue": "user-sync", "key": "42", "added": False}
    (row,) = printed("list")
    assert (row["key"], row["reason"], row["state"], row["origin"]) == ("42", "the sync failed", "pending", "cli")
    assert log_lines(config) == ["add 42 (queue user-sync): the sync failed"]
    assert (config.parent / "backlog.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("queues", "chosen"),
    [
        pytest.param("", "default", id="none is configured"),
        pytest.param("queues: {one: {}}", "one", id="the only one"),
        pytest.param("queues: {one: {}, two: {}}", "default", id="several"),
        pytest.param("queues: {one: {}, two: {}}\nbacklog: {queue: two}", "two", id="the one of backlog.queue"),
    ],
)
def test_the_queue_of_a_command_that_names_none(
    watchbridge: Callable[..., Any], new_store: Callable[[Path], None], tmp_path: Path, queues: str, chosen: str
) -> None:
    path = tmp_path / "watchbridge.yml"
    path.write_text(f"store: {url(path)}\n{queues}\n", encoding="utf-8")
    new_store(tmp_path / "data")
    done = watchbridge("backlog", "add", "42", "--config", path, "--output", "json")
    assert json.loads(done.out)["queue"] == chosen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("42", "--queue", "user-snyc"), "There is no queue 'user-snyc'; did you mean 'user-sync'?"),
        (("42", "--queue", "zebra"), "There is no queue 'zebra'; add it below `queues`"),
        (("42", "--queue", "restarts"), "The queue 'restarts' is filled by Watchbridge itself"),
        (("42", "--queue", "notifications"), "The queue 'notifications' is filled by Watchbridge itself"),
        (("",), "the key is empty"),
        (("a\nb",), "on one line"),
        (("a\x1b[31m",), "on one line"),
        (("\ud800",), "on one line"),
        (("k" * 256,), "the key has 256 characters"),
        (("42", "r" * 501), "the reason has 501 characters"),
        ((), "Missing argument 'KEY'"),
    ],
)
def test_what_cannot_be_added_is_said_and_exits_2(
    run: Callable[..., Any], printed: Callable[..., Any], words: tuple[str, ...], said: str
) -> None:
    done = run("add", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert printed("list", "--all") == []


@pytest.mark.parametrize("kind", ["link", "folder", "no folder"])
def test_a_log_file_that_cannot_be_written_is_a_warning(run: Callable[..., Any], config: Path, kind: str) -> None:
    """What was done stays done, and nothing is written to where a link leads."""
    log = config.parent / "backlog.log"
    if kind == "link":
        (config.parent / "other").write_text("", encoding="utf-8")
        log.symlink_to(config.parent / "other")
    elif kind == "folder":
        log.mkdir()
    else:
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("backlog.log", "missing/backlog.log"), encoding="utf-8")
    done = run("add", "42")
    assert done.code == 0
    assert done.err.startswith("Warning: this was done, but the log file ")
    if kind == "link":
        assert (config.parent / "other").read_text(encoding="utf-8") == ""


def test_a_reason_cannot_forge_a_line_of_the_log_nor_steer_a_terminal(run: Callable[..., Any], config: Path) -> None:
    run("add", "42", "one\n2026-01-01T00:00:00Z add 43 \x1b[2J")
    assert log_lines(config) == ["add 42 (queue user-sync): one 2026-01-01T00:00:00Z add 43 \ufffd[2J"]
    stored(config, {"key": "evil\x1b[2J\n", "reason": "\x1b]0;x\x07\nforged"})
    for words in (("list",), ("show", "2"), ("process",)):
        done = run(*words)
        assert "\x1b" not in done.out + done.err
        assert "\nforged" not in done.out


def test_in_mode_observe_it_is_said_that_the_server_will_not_run_it(run: Callable[..., Any], config: Path) -> None:
    """Only where there is something to run, and only when something changed."""
    config.write_text(config.read_text(encoding="utf-8").replace("mode: approve", "mode: observe"), encoding="utf-8")
    said = (
        "`mode` is observe: the server runs nothing of the queue user-sync until that changes; "
        "`watchbridge backlog process --no-test` does.\n"
    )
    assert run("add", "42").err == said
    assert run("add", "42").err == ""
    assert run("add", "42", "--queue", "manual").err == ""
    stored(config, {"key": "43", "state": "held", "hold": "mode"}, {"key": "44", "state": "dead"})
    assert run("approve", "3").err == said
    assert run("retry", "4").err == said
    assert run("mark-processed", "42").err == ""


# list, show, status


def test_the_list_shows_what_is_to_be_done_and_can_be_narrowed(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    stored(
        config,
        {"key": "1"},
        {"key": "2", "state": "held", "hold": "mode", "explanation": "waits for its release"},
        {"key": "3", "state": "done"},
        {"key": "4", "queue": "manual"},
        {"key": "5", "state": "cancelled", "hold": "mode", "explanation": "only observed"},
        {"key": "6", "state": "dead", "queue": "gone"},
    )
    keys = lambda *words: [row["key"] for row in printed("list", *words)]  # noqa: E731 - short, and used six times
    assert keys() == ["1", "2", "4", "6"]
    assert keys("--all") == ["1", "2", "3", "4", "5", "6"]
    assert keys("--state", "done", "--state", "dead") == ["3", "6"]
    assert keys("--queue", "manual") == ["4"]
    assert keys("--queue", "gone") == ["6"]
    assert keys("--key", "2") == ["2"]
    assert run("list", "--queue", "manul").code == 2
    cut = run("list", "--limit", "2", "--output", "csv")
    rows = list(csv.DictReader(io.StringIO(cut.out)))
    assert [(row["key"], row["hold"], row["explanation"]) for row in rows] == [
        ("1", "", ""), ("2", "mode", "waits for its release"),
    ]  # fmt: skip
    assert cut.err == "These are the oldest 2: a higher --limit shows more.\n"
    assert run("list", "--key", "9").out == "No item.\n"
    assert run("list").out.split()[:3] == ["Id", "Queue", "Key"]


def test_show_tells_why_with_each_run_and_the_trail(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    stored(config, {"key": "42", "state": "dead", "explanation": "gave up", "context": {"labels": {"user_id": "42"}}})

    async def ran(store: Store) -> None:
        began = ActionRun(1, 1, 1, "replica-a", "command", "/bin/sync 42", time.time() - 3)
        async with store.writing() as connection:
            await action_runs.begun(connection, [began])
            await action_runs.ended(connection, [Ended(1, 1, "retry", "exit status 7", "no\nluck\x1b[0m", time.time())])

    inside(config, ran)
    run("retry", "1")
    row = printed("show", "1")
    assert (row["state"], row["labels"], row["attempts"]) == ("pending", {"user_id": "42"}, 0)
    assert [(one["outcome"], one["plan"], one["output"]) for one in row["runs"]] == [
        ("retry", "/bin/sync 42", "no\nluck\x1b[0m")
    ]
    assert [one["what"] for one in row["history"]] == ["retried"]
    text = run("show", "1").out
    assert "exit status 7" in text
    assert "| no\n" in text
    assert "\x1b" not in text
    missing = run("show", "9")
    assert (missing.code, missing.out) == (1, "")
    assert "There is no item 9" in missing.err


def test_status_counts_each_queue_with_its_action_and_mode(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """S2.18: also a queue without items, and one that is no longer configured."""
    now = time.time()
    stored(
        config,
        {"state": "pending", "due_at": now - 3700},
        {"state": "failed", "due_at": now + 120},
        {"state": "failed", "due_at": now + 60},
        {"state": "done", "queue": "gone"},
    )
    rows = {row["queue"]: row for row in printed("status")}
    assert set(rows) == {"user-sync", "manual", "gone"}
    one = rows["user-sync"]
    assert (one["action"], one["mode"], one["pending"], one["failed"]) == ("command", "approve", 1, 2)
    assert one["next_attempt"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 60))
    assert (rows["manual"]["action"], rows["manual"]["pending"], rows["manual"]["oldest_pending"]) == (None, 0, None)
    assert rows["gone"]["done"] == 1
    table = run("status").out
    assert "a person" in table
    assert "1h 1m ago" in table
    assert [row["queue"] for row in printed("status", "--queue", "manual")] == ["manual"]


# by hand


def test_approve_releases_what_the_mode_holds_and_nothing_else(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    stored(
        config,
        {"key": "1", "state": "held", "hold": "mode"},
        {"key": "2", "state": "held", "hold": "window", "explanation": "planned maintenance"},
        {"key": "3", "state": "done"},
    )
    good = run("approve", "1")
    assert (good.code, good.out) == (0, "Item 1 (1 in the queue user-sync) is released.\n")
    assert printed("show", "1")["approved_by"].startswith("cli:")
    rows = printed("approve", "1", "2", "3", "9", code=1)
    assert [(row["id"], row["changed"]) for row in rows] == [(1, False), (2, False), (3, False), (9, False)]
    bad = run("approve", "2", "9")
    assert bad.code == 1
    assert "Item 2 (2 in the queue user-sync) is held (planned maintenance): only what is held because" in bad.err
    assert "There is no item 9." in bad.err
    assert states(printed) == {1: "pending", 2: "held", 3: "done"}
    assert log_lines(config) == ["approve 1 (queue user-sync)"]


@pytest.mark.parametrize("word", ["mark-processed", "mark_processed"])
def test_mark_processed_takes_keys_and_can_be_said_twice(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path, word: str
) -> None:
    """S2.22, in both spellings: all unfinished items of the key are done; what runs is left to who runs it."""
    stored(
        config,
        {"key": "42"},
        {"key": "42", "state": "held", "hold": "mode"},
        {"key": "43", "state": "running"},
        {"key": "42", "queue": "manual"},
    )
    assert run(word, "42").code == 0
    assert states(printed) == {1: "done", 2: "done", 3: "running", 4: "pending"}
    again = run(word, "42")
    assert (again.code, again.err) == (0, "")
    assert "was processed already" in again.out
    assert run(word, "43").code == 1
    unknown = run(word, "4")
    assert unknown.code == 1
    assert "to name item 4 (42 in the queue manual) by its id, add --id" in unknown.err
    assert states(printed)[4] == "pending"
    assert run(word, "--id", "4").code == 0
    assert states(printed)[4] == "done"
    assert run(word, "--id", "x").code == 2
    assert run(word, "--id", "99").code == 1
    assert log_lines(config) == [
        "mark-processed 42 (queue user-sync)",
        "mark-processed 42 (queue user-sync)",
        "mark-processed 42 (queue manual)",
    ]


def test_retry_tries_anew_what_died_and_never_what_was_observed(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    stored(
        config,
        {"key": "1", "state": "dead"},
        {"key": "2", "state": "failed", "due_at": time.time() + 1000},
        {"key": "3", "state": "cancelled", "hold": "mode", "explanation": "only observed"},
        {"key": "4", "state": "cancelled"},
    )
    assert run("retry", "1", "2", "4").code == 0
    bad = run("retry", "3")
    assert bad.code == 1
    assert "is cancelled (only observed)" in bad.err
    assert states(printed) == {1: "pending", 2: "pending", 3: "cancelled", 4: "pending"}


def test_clear_asks_and_cancels_only_what_has_not_begun(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """S2.21: without a terminal it needs --yes; other queues, and what runs or is over, stay."""
    words = ("pending", "held", "failed", "running", "done", "dead", "cancelled")
    stored(config, *({"state": word, "key": word} for word in words), {"queue": "manual"})
    refused = run("clear")
    assert refused.code == 2
    assert "give --yes" in refused.err
    assert list(states(printed).values()) == [*words, "pending"]
    assert run("clear", "--yes").out == "Cleared 3 items of user-sync.\n"
    assert list(states(printed).values()) == [*["cancelled"] * 3, *words[3:], "pending"]
    assert printed("clear", "--yes") == {"queue": "user-sync", "cleared": 0}
    assert log_lines(config) == [f"clear {word} (queue user-sync)" for word in words[:3]]


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, "pending"), ("y", 0, "cancelled")])
def test_clear_asks_on_a_terminal(printed: Callable[..., Any], config: Path, answer: str, code: int, left: str) -> None:
    stored(config, {"key": "42"})
    ours, theirs = pty.openpty()
    words = ["backlog", "clear", "--config", str(config)]
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "exporter", *words], stdin=theirs, capture_output=True, timeout=60, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code
    assert b"Cancel 1 item of the queue user-sync?" in done.stderr
    assert states(printed) == {1: left}


# process


def test_process_is_a_test_unless_it_is_told_otherwise(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """S2.19, S2.23: it says of each item what would be run, changes nothing, and tells how to run for real."""
    later = time.time() + 1000
    stored(
        config,
        {"key": "42"},
        {"key": "43", "state": "held", "hold": "mode"},
        {"key": "44", "state": "held", "hold": "silenced", "explanation": "a silence of Alertmanager"},
        {"key": "45", "state": "failed", "due_at": later},
        {"key": "48", "service": "web"},
        {"key": "-f"},
        {"key": "46", "queue": "manual"},
        {"key": "47", "state": "done"},
    )
    before = printed("list", "--all")
    for words, why in (((), "`backlog: {test_mode: true}`, the default, says so"), (("--test",), "--test was given")):
        done = run("process", "--output", "json", *words)
        assert done.code == 0
        assert f"nothing was run and nothing was changed ({why})" in done.err
        assert "watchbridge backlog process --no-test" in done.err
        rows = {row["key"]: row for row in json.loads(done.out)}
        assert {key: row["outcome"] for key, row in rows.items()} == {
            "42": "would run", "43": "would run", "44": "held", "45": "waits", "48": "held", "-f": "would fail",
        }  # fmt: skip
        assert rows["42"]["what"] == "/bin/echo synced 42"
        assert rows["42"]["plan"]["argv"] == ["/bin/echo", "synced", "42"]
        assert rows["44"]["what"] == "a silence of Alertmanager"
        assert rows["48"]["what"].startswith("planned maintenance until ")
    (manual,) = printed("process", "--queue", "manual")
    assert "mark-processed" in manual["what"]
    assert printed("list", "--all") == before
    assert "These are the oldest 1" in run("process", "--limit", "1").err


def test_notifications_are_planned_by_their_entry(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """Their action is that of `notify`; one whose entry is gone waits."""
    with config.open("a", encoding="utf-8") as file:
        file.write('notify: [{name: chat, on: incident, action: {kind: command, argv: [/bin/echo, "{key}"]}}]\n')
    for name in ("chat", "gone"):
        stored(config, {"queue": "notifications", "key": f"{name}:x", "origin": "notify", "context": {"notify": name}})
    rows = printed("process", "--queue", "notifications")
    assert [(row["outcome"], row["what"].partition(":")[0]) for row in rows] == [
        ("would run", "/bin/echo chat"), ("waits", "its queue has no action"),
    ]  # fmt: skip
    (row,) = printed("status", "--queue", "notifications")
    assert (row["action"], row["pending"]) == ("notify", 2)


def test_a_real_run_does_what_is_due_whatever_the_mode_is(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """S2.20: each due item once, as a person asked for; others wait, and the queue of people stays with them."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("queue: user-sync, ", ""), encoding="utf-8")
    stored(
        config,
        {"key": "42"},
        {"key": "43", "state": "held", "hold": "mode"},
        {"key": "45", "state": "failed", "due_at": time.time() + 1000},
        {"key": "46", "queue": "manual"},
        {"key": "48", "service": "web"},
    )
    done = run("process", "--no-test", "--output", "json")
    rows = {row["key"]: row for row in json.loads(done.out)}
    assert {key: rows[key]["outcome"] for key in ("42", "43")} == {"42": "done", "43": "done"}
    assert not {"45", "46"} & set(rows)
    assert done.code == 0
    assert "1 item of the queue manual, which has no action, waits for a person" in done.err
    assert "mark-processed --queue manual" in done.err
    found = {row["key"]: row["state"] for row in printed("list", "--all")}
    assert found == {"42": "done", "43": "done", "45": "failed", "46": "pending", "48": "held"}
    (ran,) = printed("show", "1")["runs"]
    assert (ran["outcome"], ran["plan"], ran["output"].strip()) == ("done", "/bin/echo synced 42", "synced 42")
    assert run("process", "--no-test").out == "Nothing that can be run here is due.\n"


def test_a_run_that_fails_exits_1(run: Callable[..., Any], printed: Callable[..., Any], config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("/bin/echo, synced", "/bin/false, --"), encoding="utf-8")
    run("add", "42")
    done = run("process", "--no-test")
    assert done.code == 1
    assert "failed" in done.out
    (row,) = printed("list")
    assert (row["state"], row["attempts"]) == ("failed", 1)


def test_the_configuration_can_make_real_runs_the_default(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """`backlog: {test_mode: false}`; --test still only says what it would do, and --limit bounds both."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("backlog: {", "backlog: {test_mode: false, "), encoding="utf-8")
    for key in ("1", "2", "3"):
        run("add", key)
    assert run("process", "--test").code == 0
    assert set(states(printed).values()) == {"pending"}
    assert run("process", "--limit", "2").code == 0
    assert sorted(states(printed).values()) == ["done", "done", "pending"]
    assert run("process", "--queue", "zebra").code == 2


def test_a_terminated_run_stops_its_program_and_says_so_in_the_store(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """SIGTERM and Ctrl-C: no program is left behind, and the item does not stay claimed."""
    begun = config.parent / "begun"
    script = config.parent / "sync"
    script.write_text(f"#!/bin/sh\necho $$ > {begun}.new; mv {begun}.new {begun}; exec sleep 600\n", encoding="utf-8")
    script.chmod(0o755)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("/bin/echo, synced", f"{script}"), encoding="utf-8")
    for number, (sent, code) in enumerate(((signal.SIGTERM, 143), (signal.SIGINT, 130)), 1):
        run("add", f"k{number}")
        begun.unlink(missing_ok=True)
        words = ["backlog", "process", "--no-test", "--config", str(config)]
        with subprocess.Popen(
            [sys.executable, "-m", "exporter", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                deadline = time.monotonic() + 30
                while not begun.exists():
                    assert time.monotonic() < deadline
                    assert process.poll() is None
                    time.sleep(0.02)
                process.send_signal(sent)
                _, err = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == code
        assert re.fullmatch(rb"Stopped: [^\n]*\n\n?", err)
        with pytest.raises(ProcessLookupError):
            os.kill(int(begun.read_text(encoding="utf-8")), 0)
        row = printed("show", number)
        assert row["state"] == "dead"
        assert [one["outcome"] for one in row["runs"]] == ["interrupted"]


# import and export


def test_the_files_of_old_come_in_and_go_out_as_they_were(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """S2.24: both files, imported twice with one effect, exported as the same, whatever the server did meanwhile."""
    folder = config.parent / "state"
    folder.mkdir()
    pending = [
        {"user_id": 42, "reason": "sync failed", "timestamp": "2026-03-01T12:00:00Z"},
        {"user_id": "ann", "reason": "", "timestamp": "2026-03-01T12:00:01Z"},
    ]
    processed = [{"user_id": 7, "reason": "r\u00e9sum\u00e9", "timestamp": "2026-02-01T00:00:00Z"}]
    for name, entries in (("pending_users.jsonl", pending), ("processed_users.jsonl", processed)):
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        (folder / name).write_text(text, encoding="utf-8")
    files = [folder / "pending_users.jsonl", folder / "processed_users.jsonl"]
    rows = printed("import", *files)
    assert [(row["pending"], row["processed"], row["known"], row["bad"]) for row in rows] == [
        (2, 0, 0, 0),
        (0, 1, 0, 0),
    ]
    assert states(printed) == {1: "pending", 2: "pending", 3: "done"}
    assert [row["known"] for row in printed("import", *files)] == [2, 1]
    out = config.parent / "out"
    assert run("export", "--directory", out).code == 0
    for name in ("pending_users.jsonl", "processed_users.jsonl"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
        assert (out / name).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in out.iterdir()) == ["pending_users.jsonl", "processed_users.jsonl"]
    run("mark-processed", "42")
    assert [row["known"] for row in printed("import", *files)] == [2, 1]
    assert list(states(printed).values()) == ["done", "pending", "done"]
    assert log_lines(config) == [
        "import 42 (queue user-sync): sync failed",
        "import ann (queue user-sync)",
        "import-processed 7 (queue user-sync): r\u00e9sum\u00e9",
        "mark-processed 42 (queue user-sync): sync failed",
    ]


def test_what_was_added_here_is_not_added_again_by_its_own_export(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    run("add", "42", "why")
    text = run("export").out
    assert re.fullmatch(rf'{{"user_id": 42, "reason": "why", "timestamp": "{MOMENT}"}}\n', text)
    run("mark-processed", "42")
    (row,) = printed("import", "-", stdin=text.encode())
    assert (row["file"], row["pending"], row["known"]) == ("-", 0, 1)
    assert run("export").out == ""
    (done,) = map(json.loads, run("export", "--state", "done").out.splitlines())
    assert done["user_id"] == 42
    run("add", "42", "once more")
    assert [row["state"] for row in printed("list", "--all")] == ["done", "pending"]


def test_lines_without_a_time_are_known_again_by_their_reason(
    run: Callable[..., Any], printed: Callable[..., Any], config: Path
) -> None:
    """What was processed since is not enqueued again; another reason is another item."""
    first, other = (json.dumps({"id": 1, "reason": reason}).encode() for reason in ("one", "two"))
    assert [row["pending"] for row in printed("import", "-", stdin=first)] == [1]
    run("mark-processed", "1")
    run("import", "-", stdin=b'{"id": 1, "processed_at": 1700000000}')
    assert [row["known"] for row in printed("import", "-", stdin=first)] == [1]
    assert [row["pending"] for row in printed("import", "-", stdin=other)] == [1]
    assert list(states(printed).values()) == ["done", "pending"]


def test_bad_lines_are_told_with_their_number_and_the_rest_is_imported(run: Callable[..., Any], config: Path) -> None:
    file = config.parent / "users.jsonl"
    file.write_bytes(
        b'{"user_id": 1}\nnope\n\n{"id": 2, "processed_at": 1700000000}\n{"user_id": ""}\n' + b"x" * 200_000
    )
    done = run("import", file, "--output", "json")
    assert done.code == 1
    (row,) = json.loads(done.out)
    assert (row["pending"], row["processed"], row["bad"]) == (1, 1, 3)
    told = done.err.splitlines()
    assert told[0] == f"{file}:2: is no JSON at column 1: wanted one object a line"
    assert told[1].startswith(f"{file}:5: the key is empty")
    assert told[2].startswith(f"{file}:6: is longer than 64 KiB")
    file.write_bytes(b"?\n" * 50)
    many = run("import", file)
    assert len(many.err.splitlines()) == 21
    assert many.err.endswith("30 more lines cannot be read\n")


def test_a_long_file_is_imported_whole(run: Callable[..., Any], printed: Callable[..., Any], config: Path) -> None:
    """Whatever goes into one transaction: in its order, what comes twice once, and each bad line by its number."""
    lines = [json.dumps({"id": number, "reason": "why"}) for number in range(1100)]
    lines[1:1] = ["{}", lines[0]]  # a bad one, and one that comes twice at once
    lines += [lines[0], "nope"]  # twice, far from each other
    file = config.parent / "users.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    done = run("import", file, "--output", "json")
    assert json.loads(done.out) == [{"file": str(file), "pending": 1100, "processed": 0, "known": 2, "bad": 2}]
    assert [line.split(" ")[0] for line in done.err.splitlines()] == [f"{file}:2:", f"{file}:1104:"]
    assert [row["key"] for row in printed("list", "--limit", "2000")] == [str(number) for number in range(1100)]
    assert log_lines(config) == [f"import {number} (queue user-sync): why" for number in range(1100)]
    (row,) = json.loads(run("import", file, "--output", "json").out)
    assert (row["pending"], row["known"]) == (0, 1102)


def test_what_a_file_holds_can_be_said(printed: Callable[..., Any], config: Path) -> None:
    one, other = config.parent / "processed.jsonl", config.parent / "users.jsonl"
    one.write_text('{"id": 1}\n', encoding="utf-8")
    other.write_text('{"id": 2}\n', encoding="utf-8")
    assert [row["pending"] for row in printed("import", one, "--pending")] == [1]
    assert [row["processed"] for row in printed("import", other, "--processed")] == [1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("import", "missing.jsonl"), 2, "The file missing.jsonl cannot be read: No such file or directory"),
        (("import",), 2, "Missing argument 'FILE...'"),
        (("import", "x", "--queue", "zebra"), 2, "There is no queue 'zebra'"),
        (("export", "--queue", "zebra"), 2, "There is no queue 'zebra'"),
        (("export", "--directory", "out", "--state", "done"), 2, "not both"),
        (("export", "--directory", "/proc/none"), 3, "'/proc/none' could not be written"),
    ],
)
def test_files_that_cannot_be_are_sentences(
    run: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_an_export_replaces_files_only_when_told(run: Callable[..., Any], config: Path) -> None:
    (config.parent / "pending_users.jsonl").write_text("mine", encoding="utf-8")
    refused = run("export", "--directory", config.parent)
    assert refused.code == 1
    assert "pending_users.jsonl" in refused.err
    assert (config.parent / "pending_users.jsonl").read_text(encoding="utf-8") == "mine"
    assert run("export", "--directory", config.parent, "--force").code == 0
    assert (config.parent / "pending_users.jsonl").read_text(encoding="utf-8") == ""


# as a user starts it


def shell(config: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which $W is our command, without a terminal."""
    return subprocess.run(
        ["bash", "-c", line.replace("$W", f"{sys.executable} -m exporter backlog")],
        env={"PATH": os.environ["PATH"], "WATCHBRIDGE_CONFIG": str(config), **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_odd_surroundings_give_no_traceback(config: Path) -> None:
    """B18: LANG=C, standard output closed, words with newlines, bytes that are no UTF-8, the file from a pipe."""
    greek = shell(config, "$W add \u03b1 \u03b2", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (greek.returncode, greek.stderr) == (0, "")
    assert greek.stdout == "Added item 1: \\u03b1 in the queue user-sync.\n"
    closed = shell(config, "$W list >&-")
    assert (closed.returncode, closed.stdout) == (3, "")
    assert closed.stderr.startswith("watchbridge: The output cannot be written")
    odd = shell(config, "$W add $'\\xff\\n'")
    assert (odd.returncode, odd.stdout) == (2, "")
    piped = shell(config, "echo '{\"id\": 5}' | $W import /dev/stdin --output csv", LANG="C.UTF-8")
    assert piped.stdout.splitlines() == ["file,pending,processed,known,bad", "/dev/stdin,1,0,0,0"]
    for done in (greek, closed, odd, piped):
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [("list",), ("show", "1"), ("status",), ("approve", "1"), ("mark-processed", "1"), ("retry", "1"),
     ("clear", "--yes"), ("process",), ("process", "--no-test"), ("export",)],
    ids=" ".join,
)  # fmt: skip
def test_without_a_store_the_commands_say_so(
    watchbridge: Callable[..., Any], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """3: could not reach what it needs; and none of them makes a store."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(f"store: {url(path)}\nqueues: {{one: {{}}}}\n", encoding="utf-8")
    done = watchbridge("backlog", *words, "--config", path, stdin=b'{"id": 1}')
    assert (done.code, done.out) == (3, "")
    assert "there is no such file" in done.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [("add", "1"), ("import", "-")], ids=" ".join)
def test_what_is_put_into_the_backlog_makes_the_store(
    watchbridge: Callable[..., Any], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """As the scripts of old, which needed no server: it is there when that starts."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(f"store: {url(path)}\nqueues: {{one: {{}}}}\n", encoding="utf-8")
    done = watchbridge("backlog", *words, "--config", path, stdin=b'{"id": 1}')
    assert done.code == 0
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    listed = json.loads(watchbridge("backlog", "list", "--output", "json", "--config", path).out)
    assert [(row["key"], row["state"]) for row in listed] == [("1", "pending")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0011'", "an older Watchbridge made it: start `watchbridge serve`"),
        ("DROP TABLE alembic_version", "it is empty: start `watchbridge serve`"),
        ("UPDATE alembic_version SET version_num = '9999'", "newer than this program's"),
    ],
)
def test_a_store_that_is_not_ours_yet_is_a_sentence(
    run: Callable[..., Any], config: Path, change: str, said: str
) -> None:
    with contextlib.closing(sqlite3.connect(config.parent / "data" / "watchbridge.db")) as database:
        database.execute(change)
        database.commit()
    done = run("list")
    assert (done.code, done.out) == (2 if "newer" in said else 3, "")
    assert said in done.err


@pytest.mark.parametrize(
    "word",
    ["add", "list", "show", "status", "process", "approve", "mark-processed", "retry", "clear", "import", "export"],
)
def test_each_command_explains_itself_and_its_exit_status(watchbridge: Callable[..., Any], word: str) -> None:
    done = watchbridge("backlog", word, "--help")
    assert done.code == 0
    assert "Exit status: 0" in done.out
    every = watchbridge("backlog", "--help").out
    assert f"  {word} " in every
    assert "mark_processed" not in every
