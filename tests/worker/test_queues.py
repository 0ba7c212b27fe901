"""Which queues are worked off, and what is done for their items."""

from __future__ import annotations

from dataclasses import replace

from servers.backlog import new

from exporter import config
from exporter.store.backlog_rows import COLUMNS, decoded, encoded
from exporter.worker.queues import worked
from exporter.worker.runs import Pace

TEXT = """
queues:
  people: {}
  sync:
    action: {kind: command, argv: [/bin/true, "{key}"], timeout: 7s}
    attempts: 2
    backoff: [1s, 1m]
    concurrency: 3
    rate: {items: 2, per: 10s}
    mode: approve
    verify: {kind: command, argv: [/bin/true], timeout: 3s}
    interrupted: retry
notify:
  - {name: desk, on: backlog, action: {kind: command, argv: [/bin/echo]}}
  - {on: incident, action: {kind: command, argv: [/bin/false]}}
"""


def stored(context: dict[str, object], queue: str) -> object:
    """Return an item as it is read back."""
    row = encoded(new(context=context, queue=queue), 1.0) | {"id": 1, "lease_owner": None, "lease_until": None}
    return decoded([row[column.name] for column in COLUMNS])


def test_queues_with_an_action_and_what_notify_tells() -> None:
    """A queue without an action waits for people."""
    queues = worked(config.parse(TEXT, name="test.yml"))
    assert set(queues) == {"sync", "notifications", "restarts"}
    sync = queues["sync"]
    assert (sync.attempts, sync.backoff, sync.concurrency, sync.rate, sync.mode) == (
        2,
        (1.0, 60.0),
        3,
        (2, 10.0),
        "approve",
    )
    assert (sync.deeds["sync"].timeout, sync.retries_interrupted) == (7.0, True)
    assert sync.verify is not None
    assert sync.verify.timeout == 3.0
    assert queues["notifications"].retries_interrupted


def test_a_notification_has_the_action_of_its_entry() -> None:
    """One whose entry is gone, or that names none, has nothing that could be done."""
    telling = worked(config.parse(TEXT, name="test.yml"))["notifications"]
    named, unnamed = telling.deeds
    contexts = [{"notify": one} for one in (unnamed, named, f"{unnamed}-2", 0, None)]
    deeds = [telling.deed(stored(context, "notifications")) for context in (*contexts, {})]  # type: ignore[arg-type]  # an item
    assert deeds == [telling.deeds[unnamed], telling.deeds["desk"], None, None, None, None]


def test_a_notification_finds_its_entry_wherever_that_stands() -> None:
    """A reload that moves, adds or removes entries sends nothing to others than those it was for."""
    before = config.parse(TEXT, name="test.yml")
    third = config.parse(
        "notify: [{on: incident, action: {kind: command, argv: [/bin/true]}}]", name="test.yml"
    ).notify[0]
    changed = replace(before, notify=(third, *reversed(before.notify)))
    old, new_ = (worked(one)["notifications"].deeds for one in (before, changed))
    assert {identity: new_[identity] for identity in old} == old
    (added,) = new_.keys() - old.keys()
    left = worked(replace(before, notify=before.notify[:1]))["notifications"].deeds
    assert list(left) == ["desk"]
    assert added not in old


def test_as_many_begin_as_the_rate_and_the_places_let() -> None:
    """Two in ten seconds, three at once: whatever bounds more."""
    queue, pace = worked(config.parse(TEXT, name="test.yml"))["sync"], Pace()
    assert pace.free(queue, 0, 100.0) == 2
    assert pace.wait(queue, 100.0) is None
    pace.begin(queue, 1, 100.0)
    assert pace.free(queue, 1, 104.0) == 1
    pace.begin(queue, 1, 104.0)
    assert pace.free(queue, 0, 109.0) == 0
    assert pace.wait(queue, 109.0) == 1.0
    assert pace.free(queue, 0, 110.0) == 1
    assert pace.free(queue, 0, 114.0) == 2
    assert pace.free(queue, 2, 114.0) == 1
    assert pace.free(queue, 4, 114.0) == 0
