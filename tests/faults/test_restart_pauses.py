"""A replica stands still for longer than its lease while it restarts something; the other one takes over (F08)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import Books, no_tracebacks
from e2e.restart_scenes import over, restarting
from e2e.service_scenes import base, ready
from faults.rounds import rounds
from servers.deliveries import alert, payload, post
from servers.programs import HOST, free_port, until
from servers.restarting import MENDS, WAITS, Entry, Mended

if TYPE_CHECKING:
    from servers.program import Program, Watchbridge

SECONDS = 60.0
NODE = "here"
"""Both replicas are on one host: they share the fences as well as the store."""


def _started(watchbridge: Watchbridge, config: dict, name: str, entry: Entry) -> Program:
    config["listen"][0]["address"] = f"{HOST}:{free_port()}"
    path = watchbridge.configuration({**config, "replica": name, "node": NODE}, f"{name}.yml")
    return watchbridge("serve", "--config", str(path), env=entry.environment(watchbridge))


def _told(program: Program, service: str) -> None:
    assert post(base(program), payload([alert(service, service=service)])).status == 200


def _stands_still(program: Program) -> bool:
    return Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _lost(program: Program) -> set[str]:
    """Return the services of which it has noticed that somebody else restarts them."""
    records = program.records()
    return {one["key"] for one in records if one["msg"].startswith("the item was taken over meanwhile")}


def _claims(books: Books, service: str, replica: str) -> int:
    which = f"service = '{service}' AND replica = '{replica}'"
    return books.number(f"SELECT count(*) FROM service_restarts WHERE {which}")


def _ends(books: Books) -> list[tuple[str, ...]]:
    """Return what is written of every run, and of every item: nothing of it is ever changed by who comes late."""
    runs = "SELECT item_id, attempt, fence, replica, outcome, detail FROM action_runs ORDER BY item_id, attempt"
    items = "SELECT id, state, fence, attempts, explanation FROM backlog_items ORDER BY id"
    restarts = "SELECT item_id, fence, replica, acted, verified, detail FROM service_restarts ORDER BY fence, item_id"
    return [row for query in (runs, items, restarts) for row in books.rows(query)]


@pytest.mark.parametrize("point", ["it waits for its fence", "its program is about to be started"])
def test_f08_one_that_stood_still_restarts_nothing_that_another_has_taken_over(
    postgres, watchbridge: Watchbridge, point: str, tmp_path: Path
) -> None:
    """Stopped with one restart running and one about to: the other restarts both, never beside the first one's."""
    for number in range(rounds(1, 50)):
        folder = tmp_path / str(number)
        folder.mkdir()
        _one_stands_still(postgres, watchbridge, point, folder)


def _one_stands_still(postgres, watchbridge: Watchbridge, point: str, folder: Path) -> None:
    runs, waits = Mended(folder, "runs", f"{WAITS}; {MENDS}"), Mended(folder, "waits", f"sleep 0.5; {MENDS}")
    services = {one.name: one.service(node=NODE, restart={"attempts": 5}) for one in (runs, waits)}
    config = restarting(folder, services, store=postgres.create_database())
    books = Books(config["store"], postgres)
    hit = Entry(folder, point, number=signal.SIGSTOP, short_leases=True)
    first = _started(watchbridge, config, "first", hit)
    _told(first, "runs")
    until(runs.began, SECONDS, "the first restart to run")
    hit.arm()
    _told(first, "waits")
    until(lambda: _stands_still(first), SECONDS, "the first to stand still")
    second = _started(watchbridge, config, "second", Entry(folder, short_leases=True))
    until(lambda: _claims(books, "runs", "second"), SECONDS, "the other to take over what runs")
    until(lambda: _claims(books, "waits", "second"), SECONDS, "the other to take over what waited")
    assert runs.began() == 1, "what still runs bars another one of it on this host"
    is_fenced = point != "it waits for its fence"
    if is_fenced:
        assert waits.began() == 0, "who stands still in the fence bars the other one"
    else:
        until(lambda: books.states("restarts")["waits"] == "done", SECONDS, "it to be restarted by the other")
        written = [row for row in _ends(books) if "first" in row]
    os.kill(first.pid, signal.SIGCONT)
    until(lambda: runs.began() == 2, SECONDS, "the other to restart it, once the first has let go")
    runs.allow("go")
    over(books, SECONDS)
    until(lambda: _lost(first) == {"runs", "waits"}, SECONDS, "the first to notice")
    assert runs.ended() == 1
    assert waits.ended() >= 1
    assert runs.overlaps() == waits.overlaps() == []
    if not is_fenced:
        assert waits.began() == 1
        assert "restart procedure for waits" not in first.output(), "its fence refused it"
        assert [row for row in _ends(books) if "first" in row] == written
    last = "SELECT service, replica, verified FROM service_restarts WHERE verified ORDER BY service"
    assert [row[:2] for row in books.rows(last)] == [("runs", "second"), ("waits", "second")]
    assert set(books.states("restarts").values()) == {"done"}
    for program in (first, second):
        until(lambda program=program: ready(program)[0] == 200, SECONDS, "it to be ready")
        assert program.stop() == 0
    no_tracebacks([first, second])


def test_f08_what_one_was_about_to_write_when_it_stood_still_is_not_written(
    postgres, watchbridge: Watchbridge, tmp_path: Path
) -> None:
    """Stopped within the transaction that writes the end: the other finds the service well, and that is what stays.

    Until the database ends that transaction, the other one can decide on no restart, and works off all else.
    """
    web = Mended(tmp_path, "web")
    config = restarting(tmp_path, {"web": web.service(node=NODE)}, store=postgres.create_database())
    config["queues"] = {"fix": {"action": {"kind": "command", "argv": ["/bin/true"]}}}
    rule = {"matchers": ['alertname="Fix"'], "action": "enqueue", "queue": "fix", "key": "{service}"}
    config["rules"].insert(0, rule)
    books = Books(config["store"], postgres)
    hit = Entry(tmp_path, "its end is about to be stored", number=signal.SIGSTOP, short_leases=True)
    first = _started(watchbridge, config, "first", hit)
    hit.arm()
    _told(first, "web")
    until(lambda: _stands_still(first), SECONDS, "the first to stand still")
    second = _started(watchbridge, config, "second", Entry(tmp_path, short_leases=True))
    told = payload([alert(f"fix{n}", alertname="Fix", service=f"k{n}") for n in range(3)])
    assert post(base(second), told).status == 200
    seen: set[int] = set()

    def fixed() -> bool:
        seen.add(ready(second)[0])
        return books.number("SELECT count(*) FROM backlog_items WHERE queue = 'fix' AND state = 'done'") == 3

    until(fixed, SECONDS, "what has nothing to do with restarts to be done")
    assert seen == {200}
    over(books, SECONDS)
    written = _ends(books)
    os.kill(first.pid, signal.SIGCONT)
    until(lambda: _lost(first) == {"web"}, SECONDS, "the first to notice")
    assert _ends(books) == written
    outcomes = books.rows("SELECT outcome FROM action_runs WHERE kind = 'command' AND plan LIKE '%web%'")
    assert [row[0] for row in outcomes] == ["interrupted"]
    assert (web.began(), web.ended()) == (1, 1)
    for program in (first, second):
        assert program.stop() == 0
    no_tracebacks([first, second])
