"""A real Prometheus and a real pair of Alertmanagers tell the installed program of alerts, whatever happens to them."""

from __future__ import annotations

import contextlib
import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from e2e.bridge_scenes import (
    FIX,
    Books,
    Script,
    configuration,
    conserved,
    no_tracebacks,
    promtool_is_content,
    told,
    totals,
)
from e2e.service_scenes import base, faked, metrics
from servers.alertmanager import alertmanager as one_alertmanager
from servers.alertmanager import alertmanager_pair, webhook
from servers.deliveries import PATH, TOKEN
from servers.exposed import Exposed
from servers.programs import short_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.alertmanager import Alertmanager

SECONDS = 60.0
"""How long a chain of real programs may take on a busy machine; on an idle one it takes two or three."""
RULES: dict[str, Any] = {
    "groups": [
        {
            "name": "test",
            "rules": [
                {
                    "alert": "Broken",
                    "expr": "broken == 1",
                    "labels": {"severity": "page"},
                    "annotations": {"summary": "{{ $labels.n }} is broken"},
                }
            ],
        }
    ]
}
MORE = {
    "name": "more",
    "matchers": ['severity="page"'],
    "actions": [
        {"action": "enqueue", "queue": "by-hand", "key": "{n}"},
        {"action": "enqueue", "queue": "all", "key": "everything"},
    ],
}
NEVER = {"name": "never", "matchers": ["alertname=~'.+'"], "action": "enqueue", "queue": "by-hand", "key": "never"}
PROMPT = ("--rules.alert.resend-delay=1s",)
AT_ONCE = {"group_by": ["alertname"], "repeat_interval": "2s"}


@pytest.fixture
def exposed() -> Iterator[Exposed]:
    """Give a metric that the test sets."""
    with contextlib.closing(Exposed()) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Books:
    """Give what an empty store holds."""
    if request.param == "sqlite":
        return Books(f"sqlite:///{tmp_path / 'state' / 'watchbridge.db'}")
    server = request.getfixturevalue("postgres")
    return Books(server.create_database(), server)


def _done(script: Script, *keys: str) -> bool:
    return script.ended() == dict.fromkeys(keys, 1)


def _heard(books: Books, number: str) -> int:
    return books.number(f'SELECT deliveries FROM incidents WHERE labels LIKE \'%"n": "{number}"%\'')


def _forget(sender: Alertmanager) -> None:
    """Start an Alertmanager again that has lost all that it knew."""
    sender.kill()
    shutil.rmtree(sender.folder / "data")
    sender.start()


@pytest.mark.servers
def test_one_item_for_each_incident_and_rule_whatever_happens_to_the_senders(
    books: Books, watchbridge, prometheus, exposed: Exposed, tmp_path: Path
) -> None:
    """Told again, in other groups, by one that was restarted or has forgotten all, after we were away: done once."""
    fix, everything = Script(tmp_path, name="fix"), Script(tmp_path, name="all")
    config = configuration(
        tmp_path,
        store=books.store,
        replica="one",
        rules=[{**FIX, "continue": True}, MORE, NEVER],
        queues={"fix": fix.queue(concurrency=2), "all": everything.queue(), "by-hand": {}},
    )
    program = watchbridge("serve", config=config)
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps(RULES))
    exposed.broken = {"a": 1, "b": 1, "c": 0}
    with alertmanager_pair(webhook(base(program) + PATH, token=TOKEN, **AT_ONCE)) as pair:
        urls = [one.url for one in pair]
        prometheus(exposed.url, rule_files=[rules], alertmanagers=urls, arguments=PROMPT)
        until(lambda: _done(fix, "a", "b"), SECONDS, "what is broken to be fixed")

        until(lambda: _heard(books, "a") >= 4, SECONDS, "it to be told again and again")
        exposed.broken = {"a": 1, "b": 1, "c": 1}
        until(lambda: _done(fix, "a", "b", "c"), SECONDS, "one more in the same group")

        _forget(pair[0])
        heard = _heard(books, "a")
        pair[1].kill()  # so that it is the one that has forgotten who tells
        until(lambda: _heard(books, "a") >= heard + 2, SECONDS, "it to tell all anew")
        pair[1].start()

        program.kill()
        exposed.broken = {"a": 1, "b": 1, "c": 1, "d": 1}
        until(lambda: _refused(pair[0]) >= 2, SECONDS, "deliveries that find nobody")
        program = watchbridge("serve", config=config)
        until(lambda: _done(fix, "a", "b", "c", "d"), SECONDS, "what broke while we were away")

        exposed.broken = {}
        until(lambda: books.rows(_STATES) == [("resolved", "4")], SECONDS, "all to be resolved")
    keys = ["a", "b", "c", "d"]
    assert _done(fix, *keys)
    until(lambda: set(books.states("all").values()) == {"done"}, SECONDS, "the other action")
    assert everything.ended() == {"everything": 4}
    assert books.items("by-hand") == dict.fromkeys(keys, 1)
    assert fix.overlaps() == everything.overlaps() == []
    _commands_agree(watchbridge, keys)
    text = conserved(program, books)
    assert totals(text, "watchbridge_actions_total", "outcome")["done"] == 8
    promtool_is_content(text)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


_STATES = "SELECT state, count(*) FROM incidents GROUP BY state"


def _refused(sender: Alertmanager) -> float:
    _, body = sender.ask("GET", "/metrics")
    return totals(body.decode(), "alertmanager_notification_requests_failed_total", "integration")["webhook"]


def _commands_agree(watchbridge, keys: list[str]) -> None:
    """Check that the commands tell of the same incidents and items as the store."""
    assert told(watchbridge, "incidents") == []
    incidents = told(watchbridge, "incidents", "--all")
    assert sorted(one["labels"]["n"] for one in incidents) == keys
    assert {(one["state"], one["alertname"]) for one in incidents} == {("resolved", "Broken")}
    items = told(watchbridge, "backlog", "list", "--all")
    assert sorted((one["queue"], one["key"], one["state"]) for one in items) == sorted(
        [("fix", key, "done") for key in keys]
        + [("all", "everything", "done")] * 4
        + [("by-hand", key, "cancelled") for key in keys]
    )
    shown = told(watchbridge, "incidents", "show", str(incidents[0]["id"]))
    assert {(one["queue"], one["rule"]) for one in shown["items"]} == {
        ("fix", "fix"),
        ("all", "more"),
        ("by-hand", "more"),
    }
    assert shown["annotations"] == {"summary": f"{shown['labels']['n']} is broken"}


@pytest.mark.servers
def test_what_resolves_before_it_began_is_never_begun(watchbridge, tmp_path: Path) -> None:
    """In planned maintenance its item is held; the alert resolves, and the item is cancelled and says why."""
    fix = Script(tmp_path)
    window = {"all": True, "start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z", "comment": "a move"}
    config = configuration(tmp_path, queues={"fix": fix.queue()}, windows=[window])
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    with short_folder() as folder, one_alertmanager(folder, webhook(base(program) + PATH, token=TOKEN)) as sender:
        sender.fire(alertname="Broken", n="a")
        until(lambda: books.states() == {"a": "held"}, SECONDS, "the item to be held")
        (item,) = told(watchbridge, "backlog", "list")
        assert (item["hold"], "a move" in item["explanation"]) == ("window", True)
        (fired,) = sender.alerts()
        now = datetime.now(UTC).isoformat()
        sender.post({"labels": fired["labels"], "startsAt": fired["startsAt"], "endsAt": now})
        until(lambda: books.states() == {"a": "cancelled"}, SECONDS, "the item to be cancelled")
    (item,) = told(watchbridge, "backlog", "list", "--all")
    assert (item["state"], item["hold"]) == ("cancelled", "resolved")
    assert fix.began() == {}
    text = conserved(program, books)
    held = totals(text, "watchbridge_actions_held_total", "reason")
    assert (held["window"], held["resolved"]) == (1, 1)
    assert totals(text, "watchbridge_alerts_total", "outcome")["accepted"] == 2
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


@pytest.mark.servers
def test_an_incident_whose_end_is_never_told_closes_by_silence(watchbridge, tmp_path: Path) -> None:
    """Alertmanager dies before it could tell: the incident is silent in the end, and firing again is a new one."""
    fix = Script(tmp_path)
    # A minute, the least there is, in a tenth of the time.
    config = configuration(tmp_path, queues={"fix": fix.queue()}, incidents={"silent_after": "1m", "late_for": "0s"})
    books = Books(config["store"])
    clock = faked(FAKETIME="+0 x10") | {"FAKETIME_DONT_FAKE_MONOTONIC": "0"}
    program = watchbridge("serve", config=config, env=clock)
    hook = webhook(base(program) + PATH, token=TOKEN, repeat_interval="1h")
    with short_folder() as folder, one_alertmanager(folder, hook) as sender:
        sender.fire(alertname="Broken", n="a")
        until(lambda: _done(fix, "a"), SECONDS, "it to be fixed")
        sender.kill()
        until(lambda: books.rows(_STATES) == [("silent", "1")], SECONDS, "the silence")
        shutil.rmtree(folder / "data")
        sender.start()
        sender.fire(alertname="Broken", n="a")
        until(lambda: fix.ended() == {"a": 2}, SECONDS, "it to be fixed again")
    assert sorted(books.rows(_STATES)) == [("open", "1"), ("silent", "1")]
    assert totals(metrics(program), "watchbridge_incidents", "state")["silent"] == 1
    (closed,) = (one for one in told(watchbridge, "incidents", "--all") if one["state"] == "silent")
    trail = told(watchbridge, "incidents", "show", str(closed["id"]))["history"]
    assert any("nothing was heard" in json.dumps(one) for one in trail)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)
