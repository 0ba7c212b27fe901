"""`watchbridge replay`: the plan of a payload, with exactly what would be run and the reason of each skip."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIGURATION = """
store: sqlite:///{folder}/data/watchbridge.db
mode: auto
services:
  web: {{probe: {{kind: tcp, address: "127.0.0.1:1"}}, group: front}}
  db: {{probe: {{kind: tcp, address: "127.0.0.1:1"}}, restart: {{kind: command, argv: [/bin/echo, db]}}}}
  shop:
    probe: {{kind: tcp, address: "127.0.0.1:1"}}
    depends_on: [db]
    restart: {{kind: command, argv: [/bin/echo, shop], before: [/bin/true]}}
queues:
  user-sync: {{action: {{kind: command, argv: [/bin/echo, synced, "{{key}}"]}}}}
  careful: {{action: {{kind: command, argv: [/bin/echo, "{{key}}"]}}, mode: approve}}
  hook: {{action: {{kind: http, url: "http://127.0.0.1:9/hook?token=s3cret-word", bearer_token: t0ken-of-the-hook}}}}
  manual: {{}}
rules:
  - {{name: sync, matchers: [alertname="Sync"], action: enqueue, queue: user-sync, key: "{{user_id}}", continue: true}}
  - {{name: hand, matchers: ['alertname=~"Sync|Hand"'], action: enqueue, queue: manual}}
  - {{name: careful, matchers: ['alertname="Careful"'], action: enqueue, queue: careful}}
  - {{name: watched, matchers: ['alertname="Watched"'], mode: observe, action: enqueue, queue: user-sync}}
  - {{name: service, matchers: ['alertname="Down"'], action: enqueue, queue: user-sync, service: "{{target}}"}}
  - {{name: hook, matchers: ['alertname="Hook"'], action: enqueue, queue: hook}}
  - {{name: restart, matchers: ['alertname="Dead"'], action: restart, service: "{{target}}"}}
  - {{name: quiet, matchers: ['alertname="Quiet"'], action: none}}
"""

OBSERVED = "only observed: `mode` is observe, so nothing is run for it, now or later"


def firing(name: str, **labels: str) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "told \x1b[31m"},
        "startsAt": "2026-03-01T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{name}{''.join(labels.values())}".lower(),
    }


def resolved(name: str) -> dict[str, Any]:
    return firing(name) | {"status": "resolved", "endsAt": "2026-03-01T12:05:00Z"}


def body(*alerts: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"version": "4", "receiver": "watchbridge", "groupKey": "g", "alerts": alerts} | more).encode()


@pytest.fixture
def config(tmp_path: Path, new_store: Callable[[Path], None]) -> Path:
    """Give a configuration with a rule of each kind, beside an empty store."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(CONFIGURATION.format(folder=tmp_path), encoding="utf-8")
    new_store(tmp_path / "data")
    return path


@pytest.fixture
def replay(watchbridge: Callable[..., Any], config: Path) -> Callable[..., Any]:
    """Give a function that replays a payload."""
    return lambda payload, *words: watchbridge("replay", "-", "--config", config, *words, stdin=payload)


@pytest.fixture
def planned(replay: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that returns the plan of some alerts as JSON."""
    return lambda *alerts: json.loads(replay(body(*alerts), "--dry-run", "--output", "json").out)


@pytest.mark.parametrize(
    ("alert", "steps"),
    [
        pytest.param(
            firing("Sync", user_id="42"),
            [("sync", "user-sync", "42", "run", "/bin/echo synced 42"), ("hand", "manual", "Sync", "wait", None)],
            id="runs, and waits for a person",
        ),
        pytest.param(firing("Careful"), [("careful", "careful", "Careful", "wait", "/bin/echo Careful")], id="approve"),
        pytest.param(
            firing("Watched"),
            [("watched", "user-sync", "Watched", "skipped", "/bin/echo synced Watched")],
            id="observe",
        ),
        pytest.param(firing("Quiet"), [("quiet", None, None, "skipped", None)], id="nothing is wanted"),
        pytest.param(firing("Else"), [(None, None, None, "skipped", None)], id="no rule"),
        pytest.param(
            firing("Down", target="web"),
            [("service", "user-sync", "Down", "run", "/bin/echo synced Down")],
            id="a service",
        ),
    ],
)
def test_the_plan_says_exactly_what_would_be_run(
    planned: Callable[..., Any], alert: dict[str, Any], steps: list[tuple[str | None, ...]]
) -> None:
    (row,) = planned(alert)
    assert (row["outcome"], row["incident"], row["labels"]) == ("opens", None, alert["labels"])
    assert [(s["rule"], s["queue"], s["key"], s["verdict"], s["runs"]) for s in row["steps"]] == steps
    assert all(step["why"] for step in row["steps"])


def test_the_plan_knows_planned_maintenance_of_the_file_and_of_the_store(
    watchbridge: Callable[..., Any], planned: Callable[..., Any], config: Path
) -> None:
    watchbridge("windows", "add", "--service", "web", "--for", "1h", "--comment", "upgrade", "--config", config)
    (down,) = planned(firing("Down", target="web"))
    (step,) = down["steps"]
    assert step["verdict"] == "held"
    assert "planned maintenance until " in step["why"]
    assert step["runs"] == "/bin/echo synced Down"


def test_restarts_have_an_order_and_what_the_decision_looks_at(
    watchbridge: Callable[..., Any], replay: Callable[..., Any], planned: Callable[..., Any], config: Path
) -> None:
    """With the arguments; a window holds one, which holds what needs it; without a `restart` a person does it."""
    alerts = [firing("Dead", target=name) for name in ("shop", "db", "web")]
    (shop,), (db,), (web,) = (row["steps"] for row in planned(*alerts))
    assert (shop["verdict"], shop["restart"]["order"], shop["restart"]["after"]) == ("run", 2, ["db"])
    assert shop["plan"] == {"argv": ["/bin/echo", "shop"], "before": ["/bin/true"]}
    assert (db["verdict"], db["restart"]["circuits"], db["runs"]) == ("run", {"db": "closed"}, "/bin/echo db")
    assert (web["verdict"], web["restart"]) == ("wait", None)
    table = replay(body(*alerts), "--dry-run").out.splitlines()
    assert "    run: it is restarted after db, unless it is well by then" in table
    assert "    wait: web has no `restart` in the configuration: it waits for a person" in table
    assert "    circuit: shop closed" in table
    assert "    not probed: db (what the store saw last counts)" in table
    watchbridge("windows", "add", "--service", "db", "--for", "1h", "--config", config)
    (shop,), (db,), _ = (row["steps"] for row in planned(*alerts))
    assert (db["verdict"], db["restart"]["hold"]) == ("held", "window")
    assert shop["why"] == "held: db, which it needs, is mended first: its own restart is held (window)"
    rows = list(csv.DictReader(io.StringIO(replay(body(*alerts), "--dry-run", "--output", "csv").out)))
    assert json.loads(rows[0]["restart"])["order"] == 2


def test_the_plan_has_the_arguments_and_the_request_and_no_secret(
    planned: Callable[..., Any], replay: Callable[..., Any]
) -> None:
    command, hook = planned(firing("Sync", user_id="4 2"), firing("Hook"))
    assert command["steps"][0]["plan"]["argv"] == ["/bin/echo", "synced", "4 2"]
    assert command["steps"][0]["runs"] == "/bin/echo synced '4 2'"
    assert "POST http://127.0.0.1:9/" in hook["steps"][0]["runs"]
    for output in ("table", "json", "csv"):
        done = replay(body(firing("Hook")), "--dry-run", "--output", output)
        assert "s3cret-word" not in done.out + done.err
        assert "t0ken-of-the-hook" not in done.out + done.err


@pytest.mark.parametrize(
    ("alert", "outcome", "said"),
    [
        pytest.param(firing("Sync"), "opens", "there is no 'user_id'", id="a label that is missing"),
        pytest.param(firing("Down", target="wep"), "opens", "there is no service 'wep'", id="an unknown service"),
        pytest.param(firing("Sync") | {"labels": {}}, "quarantined", "no labels", id="without labels"),
        pytest.param(firing("Sync") | {"startsAt": "today"}, "quarantined", "bad_time", id="a time that is none"),
    ],
)
def test_what_is_refused_says_why_and_exits_1(
    replay: Callable[..., Any], alert: dict[str, Any], outcome: str, said: str
) -> None:
    done = replay(body(alert, firing("Else")), "--dry-run", "--output", "json")
    assert done.code == 1
    bad, good = json.loads(done.out)
    assert (bad["outcome"], good["outcome"]) == (outcome, "opens")
    assert said in json.dumps(bad, ensure_ascii=False)
    table = replay(body(alert), "--dry-run")
    assert said in table.out


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'{"version": "3", "alerts": []}', b"[" * 100_000, b"\xff\xfe"],
    ids=["empty", "cut", "a list", "version 3", "deep", "no UTF-8"],
)
def test_a_payload_that_cannot_be_read_is_refused_as_a_whole(replay: Callable[..., Any], payload: bytes) -> None:
    for words in (("--dry-run",), ()):
        done = replay(payload, *words)
        assert done.code == 1
        assert done.out.startswith("The payload is refused: ")
        assert done.err == "Nothing was stored.\n"


def test_a_dry_run_changes_nothing_and_a_run_stores_what_it_planned(
    watchbridge: Callable[..., Any], replay: Callable[..., Any], config: Path
) -> None:
    """As if Alertmanager had sent it: the incidents, the items, the same sentence; a second time it is known."""

    def listed(noun: str) -> Any:
        return json.loads(watchbridge(noun, "list", "--all", "--config", config, "--output", "json").out)

    payload = body(firing("Sync", user_id="42"), firing("Watched"), firing("Sync") | {"labels": {}})
    dry = replay(payload, "--dry-run", "--output", "json")
    assert dry.err == "Nothing was stored. Without --dry-run it would be.\n"
    assert (listed("incidents"), listed("backlog")) == ([], [])
    real = replay(payload, "--output", "json")
    assert real.out == dry.out
    assert real.err == "Stored (2 accepted, 1 quarantined): a running server acts on what it may.\n"
    assert sorted(row["alertname"] for row in listed("incidents")) == ["Sync", "Watched"]
    items = listed("backlog")
    assert sorted((row["queue"], row["key"], row["state"]) for row in items) == [
        ("manual", "Sync", "pending"), ("user-sync", "42", "pending"), ("user-sync", "Watched", "cancelled"),
    ]  # fmt: skip
    planned = {step["why"] for row in json.loads(dry.out) for step in row["steps"]}
    # What was only observed is told with what would have been run: nothing else would ever say it.
    assert {row["explanation"].partition("; would have run: ")[0] for row in items} == planned
    assert [row["explanation"] for row in items if row["state"] == "cancelled"] == [
        f"{OBSERVED}; would have run: /bin/echo synced Watched"
    ]
    again = replay(payload, "--output", "json")
    assert [row["outcome"] for row in json.loads(again.out)] == ["duplicate", "duplicate", "quarantined"]
    assert all(row["incident"] for row in json.loads(again.out)[:2])
    assert len(listed("backlog")) == 3
    (known, gone) = json.loads(replay(body(resolved("Watched"), resolved("Else")), "--output", "json").out)
    assert (known["outcome"], gone["outcome"]) == ("resolves", "unmatched")
    assert [row["state"] for row in listed("incidents") if row["alertname"] == "Watched"] == ["resolved"]
    (late,) = json.loads(replay(body(firing("Watched")), "--dry-run", "--output", "json").out)
    assert late["outcome"] == "late"
    assert "held" in late["reason"]


def test_a_dry_run_needs_no_store_and_makes_none(watchbridge: Callable[..., Any], tmp_path: Path) -> None:
    """Rules can be tried where no server has ever run, as in the checks of a repository."""
    path = tmp_path / "watchbridge.yml"
    path.write_text(CONFIGURATION.format(folder=tmp_path), encoding="utf-8")
    payload = tmp_path / "payload.json"
    payload.write_bytes(body(firing("Hand")))
    dry = watchbridge("replay", payload, "--dry-run", "--config", path)
    assert dry.code == 0
    assert dry.err.startswith("There is no store yet: ")
    assert not (tmp_path / "data").exists()
    real = watchbridge("replay", payload, "--config", path)
    assert (real.code, real.out) == (0, dry.out), "what is stored makes the store"


def test_the_table_and_csv_tell_each_step(replay: Callable[..., Any]) -> None:
    payload = body(firing("Sync", user_id="42"), firing("Else"), resolved("Hand"))
    table = replay(payload, "--dry-run").out.splitlines()
    assert table[0] == "Alert 1, Sync (user_id=42): opens a new incident"
    assert table[1] == "  rule sync: enqueue (queue user-sync, key 42, mode auto)"
    assert table[3] == "    runs: /bin/echo synced 42"
    rows = list(csv.DictReader(io.StringIO(replay(payload, "--dry-run", "--output", "csv").out)))
    assert [(row["position"], row["rule"], row["verdict"]) for row in rows] == [
        ("0", "sync", "run"), ("0", "hand", "wait"), ("1", "", "skipped"), ("2", "", ""),
    ]  # fmt: skip
    assert replay(body(), "--dry-run").out == "No alert.\n"


def test_hostile_labels_cannot_steer_a_terminal(replay: Callable[..., Any]) -> None:
    done = replay(body(firing("Sync", user_id="4\x1b[2J\n2", evil="\u202e\x07\nforged: yes")), "--dry-run")
    assert not {"\x1b", "\x07", "\u202e"} & set(done.out)
    assert "\nforged" not in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "Missing argument 'PAYLOAD'"),
        (("missing.json",), 2, "The payload missing.json cannot be read: No such file"),
        (("",), 2, "it is empty"),
    ],
)
def test_a_payload_that_is_not_there_is_a_sentence(
    watchbridge: Callable[..., Any], config: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = watchbridge("replay", *words, "--config", config)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_more_than_the_webhook_takes_is_refused_unread(replay: Callable[..., Any]) -> None:
    done = replay(b"{" + b" " * (8 * 1024 * 1024), "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "larger than the 8 MiB" in done.err


def test_it_explains_itself(watchbridge: Callable[..., Any]) -> None:
    done = watchbridge("replay", "--help")
    assert done.code == 0
    assert "Exit status: 0" in done.out


def test_a_closed_standard_output_is_a_sentence(config: Path) -> None:
    """B18: as a user starts it, with the payload from a pipe."""
    payload = config.parent / "payload.json"
    payload.write_bytes(body(firing("Hand")))
    done = subprocess.run(
        ["bash", "-c", f"cat {payload} | {sys.executable} -m exporter replay /dev/stdin --dry-run >&-"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "WATCHBRIDGE_CONFIG": str(config)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("watchbridge: The output cannot be written")
