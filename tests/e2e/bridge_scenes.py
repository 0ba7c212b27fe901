"""A bridge with rules and queues, what its actions have done, and what must hold in its books whatever happened."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from e2e.service_scenes import metrics, series
from servers.deliveries import TOKEN
from servers.programs import HOST, find, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servers.databases import DatabaseServer
    from servers.program import Program, Watchbridge

FIX = {"name": "fix", "matchers": ['alertname="Broken"'], "action": "enqueue", "queue": "fix", "key": "{n}"}
"""A rule: each incident leads to one item of the queue `fix`, known by the number of its alert."""
LABELS = re.compile(r'(\w+)="([^"]*)"')


def configuration(folder: Path, *, store: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a configuration with the rule `fix` and a queue of that name that waits for a person."""
    return {
        "listen": [{"address": f"{HOST}:{free_port()}", "serve": ["metrics", "webhook"]}],
        "store": store or f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "mode": "auto",
        "alertmanager": {"bearer_token": TOKEN},
        "rules": [FIX],
        "queues": {"fix": {}},
        **more,
    }


class Script:
    """A program that adds a line with its argument and the attempt to a file, and notes where two run at once.

    `then` are commands of sh that it runs between its beginning and its end; "$1" is the key, `$here` its folder.
    """

    def __init__(self, folder: Path, then: str = "", name: str = "act") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "began").touch()
        self.path = self.folder / "run"
        self.path.write_text(
            f"#!/bin/sh\nhere='{self.folder}'\n"
            # One that was killed left its number behind, and is perhaps a zombie.
            'was=$(cat "$here/at-$1" 2>/dev/null) && [ -d "/proc/$was" ] && '
            '! grep -q "^State:.*Z" "/proc/$was/status" && echo "$1" >> "$here/overlaps"\n'
            'echo $$ > "$here/at-$1"\n'
            'echo "$1 $2" >> "$here/began"\n'
            f"{then}\n"
            'echo "$1 $2" >> "$here/ended"\n'
            'rm "$here/at-$1"\n'
        )
        self.path.chmod(0o755)

    def queue(self, **more: Any) -> dict[str, Any]:
        """Return a queue that it works off."""
        action = {"kind": "command", "argv": [str(self.path), "{key}", "{attempt}"], "timeout": "60s"}
        return {"action": action, "backoff": ["100ms"], **more}

    def began(self) -> Counter[str]:
        """Return how often it was started, by key."""
        return self._keys("began")

    def ended(self) -> Counter[str]:
        """Return how often it came to its end, by key."""
        return self._keys("ended")

    def overlaps(self) -> list[str]:
        """Return the keys for which two ran at once."""
        path = self.folder / "overlaps"
        return path.read_text().split() if path.exists() else []

    def _keys(self, name: str) -> Counter[str]:
        path = self.folder / name
        return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


class Books:
    """What a store holds of incidents and items, read as nothing of ours would."""

    def __init__(self, store: str, server: DatabaseServer | None = None) -> None:
        self.store, self._server = store, server

    def rows(self, query: str) -> list[tuple[str, ...]]:
        """Return the rows of a query, each value as text."""
        if self._server is not None:
            return self._server.execute(query, urlsplit(self.store).path[1:])
        path = Path(self.store.removeprefix("sqlite:///"))
        with contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
            return [tuple(str(value) for value in row) for row in database.execute(query)]

    def number(self, query: str) -> int:
        """Return the only value of a query."""
        return int(float(self.rows(query)[0][0]))

    def incidents(self) -> Counter[str]:
        """Return how many incidents each fingerprint has."""
        return Counter(row[0] for row in self.rows("SELECT fingerprint FROM incidents"))

    def items(self, queue: str = "fix") -> Counter[str]:
        """Return how many items each key has."""
        return Counter(row[0] for row in self.rows(f"SELECT one.key FROM backlog_items one WHERE queue = '{queue}'"))

    def states(self, queue: str = "fix") -> dict[str, str]:
        """Return the state of each item by its key."""
        query = f"SELECT one.key, state FROM backlog_items one WHERE queue = '{queue}'"  # MySQL keeps `key` for itself
        return {row[0]: row[1] for row in self.rows(query)}

    def whole(self) -> bool:
        """Say whether an SQLite file is whole."""
        return self.rows("PRAGMA integrity_check") == [("ok",)]


def kept(books: Books, sent: set[str], acked: set[str], queues: Sequence[str] = ("fix",)) -> None:
    """Check that nothing acknowledged is lost, nothing is there twice, and nothing is there that nobody sent.

    Each incident has led to one item, in one of the queues.
    """
    incidents, items = books.incidents(), sum((books.items(queue) for queue in queues), Counter())
    assert acked - incidents.keys() == set()
    assert incidents.keys() - sent == set()
    assert {number: count for number, count in incidents.items() if count != 1} == {}
    assert items == incidents
    orphans = "SELECT count(*) FROM backlog_items WHERE incident_id IS NULL AND origin = 'rule'"
    assert books.number(orphans) == 0
    audited = "SELECT count(*) FROM audit WHERE noun = 'incident' AND verb = 'opened'"
    assert books.number(audited) == len(incidents)


def totals(text: str, family: str, label: str) -> Counter[str]:
    """Return the sums of a family by one of its labels."""
    found: Counter[str] = Counter()
    for key, value in series(text).items():
        name, _, labels = key.partition("{")
        if name == family:
            found[dict(LABELS.findall(labels)).get(label, "")] += value  # type: ignore[assignment]  # totals are floats
    return found


def conserved(program: Program, books: Books) -> str:
    """Check that what /metrics counts is what the store holds, and return the metrics.

    It holds for one program that has the store for itself, once nothing is sent or run any more.
    """
    text = metrics(program)
    stored = {(queue, state): int(n) for queue, state, n in books.rows(_COUNTS)}
    shown = {key: value for key, value in series(text).items() if key.startswith("watchbridge_backlog_items{")}
    assert sum(shown.values()) == sum(stored.values())
    for (queue, state), count in stored.items():
        assert shown[f'watchbridge_backlog_items{{queue="{queue}",state="{state}"}}'] == count
    by_state = {state: int(n) for state, n in books.rows("SELECT state, count(*) FROM incidents GROUP BY state")}
    assert {word: n for word, n in totals(text, "watchbridge_incidents", "state").items() if n} == by_state
    alerts = totals(text, "watchbridge_alerts_total", "outcome")
    received = books.number("SELECT coalesce(sum(deliveries), 0) FROM incidents")
    assert sum(alerts.values()) - alerts["quarantined"] == received
    runs = books.rows("SELECT outcome, count(*) FROM action_runs WHERE outcome IS NOT NULL GROUP BY outcome")
    counted = totals(text, "watchbridge_actions_total", "outcome")
    assert {word: n for word, n in counted.items() if n} == {word: int(n) for word, n in runs}
    return text


_COUNTS = "SELECT queue, state, count(*) FROM backlog_items GROUP BY queue, state"


def promtool_is_content(text: str) -> None:
    """Check that promtool has nothing to say about an exposition."""
    argv = [find("promtool", "Prometheus"), "check", "metrics"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def told(watchbridge: Watchbridge, *words: str) -> Any:
    """Return the JSON that a command prints for the configuration in force."""
    path = watchbridge.folder / "watchbridge.yml"
    done = watchbridge.run(*words, "--config", str(path), "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def no_tracebacks(programs: Sequence[Program]) -> None:
    """Check that no program printed one."""
    assert [one.output() for one in programs if "Traceback" in one.output()] == []
