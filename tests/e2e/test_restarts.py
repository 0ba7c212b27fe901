"""What is down is restarted by the installed program: once, in order, when it may be, and never against a circuit."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import Books, conserved, no_tracebacks, promtool_is_content, told, totals
from e2e.restart_scenes import (
    RealServer,
    circuit,
    environment,
    opened,
    over,
    restarting,
    teller,
    told_well,
    watched,
)
from e2e.service_scenes import get, metrics, series, wait_state
from servers.programs import until
from servers.restarting import MENDS, MENDS_WHERE_IT_CAN, WAITS, Mended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

SECONDS = 60.0
"""How long a chain of real programs may take on a busy machine; on an idle one it takes a few."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RealServer]:
    """Give a server that runs."""
    with contextlib.closing(RealServer(tmp_path)) as server:
        yield server


def _items(watchbridge) -> list[tuple[str, ...]]:
    """Return the restarts as the command lists them: key, state, reason for which one was held."""
    found = told(watchbridge, "backlog", "list", "--all", "--queue", "restarts")
    return sorted((one["key"], one["state"], one["hold"] or "") for one in found)


def test_a_process_that_dies_runs_again_and_its_alert_resolves(
    watchbridge, prometheus, web: RealServer, tmp_path: Path
) -> None:
    """Killed, found down, told by Prometheus and Alertmanager, started once, verified; the alert resolves."""
    config = restarting(tmp_path, {"web": web.service()})
    books = Books(config["store"])
    program = watchbridge("serve", config=config, env=environment(tmp_path))
    wait_state(program, "web", "up")
    with teller(program) as sender:
        watched(prometheus, program, sender, tmp_path)
        killed = web.pid
        web.die()
        wait_state(program, "web", "up", SECONDS)
        until(lambda: books.rows(_INCIDENTS) == [("resolved", "1")], SECONDS, "the alert to resolve")
    assert web.pid != killed
    over(books)
    assert _items(watchbridge) == [("web", "done", "")]
    acted = books.rows("SELECT service, kind, origin, detail FROM service_restarts")
    assert [one[:3] for one in acted] == [("web", "process", "rule")]
    assert acted[0][3].startswith("restarted and verified: it is up")
    output = program.output()
    assert output.count("RESTART LOG: Beginning restart procedure for web (strategy: process)") == 1
    assert output.count("RESTART LOG: Successfully restarted and verified service: web") == 1
    text = conserved(program, books)
    found = series(text)
    assert found['watchbridge_actions_total{action="restarts",kind="process",outcome="done"}'] == 1
    assert found['watchbridge_backlog_items{queue="restarts",state="done"}'] == 1
    assert circuit(program, "web") == "closed"
    promtool_is_content(text)
    assert program.stop() == 0
    assert get(web.url)[0] == 204, "it outlives the program that started it"
    no_tracebacks(watchbridge.started)


_INCIDENTS = "SELECT state, count(*) FROM incidents GROUP BY state"


def test_what_hangs_on_another_is_restarted_after_it_and_only_where_that_did_not_help(
    watchbridge, prometheus, tmp_path: Path
) -> None:
    """Three fail at once: the database first, the one that it heals not at all, the other one afterwards."""
    api, web = Mended(tmp_path, "api"), Mended(tmp_path, "web")
    db = Mended(tmp_path, "db", f'sleep 1; {MENDS}; touch "{api.well}"')
    services = {
        "web": web.service(depends_on=["db"]),
        "api": api.service(depends_on=["db"]),
        "db": db.service(),
    }
    for one in (db, api, web):
        one.mend()
    config = restarting(tmp_path, services)
    books = Books(config["store"])
    program = watchbridge("serve", config=config, env=environment(tmp_path))
    with teller(program) as sender:
        watched(prometheus, program, sender, tmp_path)
        for name in services:
            wait_state(program, name, "up")
        for one in (web, api, db):
            one.ruin()
        until(web.ended, SECONDS, "what hangs on the database to be restarted")
        until(lambda: books.rows(_OPEN) == [("0",)], SECONDS, "all alerts to resolve")
    over(books)
    assert (db.began(), api.began(), web.began()) == (1, 0, 1)
    ended = db.runs()[0].ended
    assert ended is not None
    assert web.runs()[0].began > ended
    held = totals(metrics(program), "watchbridge_actions_held_total", "reason")
    assert held["dependency"] >= 1
    assert {one[0]: one[1] for one in _items(watchbridge) if one[0] != "api"} == {"db": "done", "web": "done"}
    conserved(program, books)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


_OPEN = "SELECT count(*) FROM incidents WHERE state = 'open'"


def test_planned_maintenance_holds_a_restart_until_it_ends(watchbridge, tmp_path: Path) -> None:
    """As long as the window is open nothing is run; ended by the command, it is restarted once: the alert fires on."""
    web = Mended(tmp_path, "web")
    config = restarting(tmp_path, {"web": web.service()})
    books = Books(config["store"])
    watchbridge.configuration(config)
    told(watchbridge, "windows", "add", "--service", "web", "--for", "1h", "--comment", "a move")
    program = watchbridge("serve", config=config, env=environment(tmp_path))
    wait_state(program, "web", "maintenance")
    with teller(program, repeat_interval="1s") as sender:
        sender.fire(alertname="Down", service="web")
        until(lambda: books.states("restarts") == {"web": "held"}, SECONDS, "the restart to be held")
        (item,) = told(watchbridge, "backlog", "list", "--queue", "restarts")
        assert (item["hold"], "a move" in item["explanation"]) == ("window", True)
        until(lambda: books.number("SELECT deliveries FROM incidents") > 2, SECONDS, "it to be told again")
        assert web.began() == 0
        (window,) = told(watchbridge, "windows", "list")
        path = watchbridge.folder / "watchbridge.yml"
        assert watchbridge.run("windows", "end", str(window["id"]), "--config", str(path)).returncode == 0
        until(lambda: books.states("restarts") == {"web": "done"}, SECONDS, "the restart")
        heard = books.number("SELECT deliveries FROM incidents")
        until(lambda: books.number("SELECT deliveries FROM incidents") > heard, SECONDS, "it to be told once more")
    assert (web.began(), web.ended()) == (1, 1)
    assert totals(conserved(program, books), "watchbridge_actions_held_total", "reason")["window"] == 1
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


def test_a_circuit_opens_after_three_failures_and_one_trial_closes_it(watchbridge, tmp_path: Path) -> None:
    """While it is open nothing is run; each half-open time lets one trial through, and the one that helps closes it."""
    mysql = Mended(tmp_path, "mysql", MENDS_WHERE_IT_CAN)
    service = mysql.service(restart={"attempts": 3}, circuit={"preset": "process", "reset": "3s"})
    config = restarting(tmp_path, {"mysql": service})
    books = Books(config["store"])
    program = watchbridge("serve", config=config, env=environment(tmp_path))
    with teller(program) as sender:
        sender.fire(alertname="Down", service="mysql")
        until(lambda: circuit(program, "mysql") == "open", SECONDS, "the circuit to open")
        assert "Circuit breaker opened for mysql after 3 failures" in program.output()
        until(lambda: ("mysql", "held", "circuit") in _items(watchbridge), SECONDS, "the restart to be held")
        mysql.allow("mendable")
        until(lambda: books.states("restarts") == {"mysql": "done"}, SECONDS, "a trial that helps")
    # On a machine that is busy enough a trial may have failed before it could be mended: that opened it anew.
    assert mysql.began() == 3 + opened(program, "mysql")
    assert program.output().count("Circuit breaker reset for mysql") == 1
    assert circuit(program, "mysql") == "closed"
    counted = totals(conserved(program, books), "watchbridge_actions_total", "outcome")
    assert counted["retry"] == mysql.began() - 1
    assert counted["done"] == 1
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


def test_of_nine_alerts_at_once_one_is_the_trial(watchbridge, tmp_path: Path) -> None:
    """The circuit is half-open and nine alerts of one service come: one restart runs, and all nine are over by it."""
    queue = Mended(tmp_path, "queue", f"{MENDS_WHERE_IT_CAN}; {WAITS}")
    service = queue.service(circuit={"failures": 1, "reset": "2s"})
    config = restarting(tmp_path, {"queue": service})
    books = Books(config["store"])
    program = watchbridge("serve", config=config, env=environment(tmp_path))
    with teller(program, group_by=["alertname"]) as sender:
        sender.fire(alertname="Down", service="queue", n="first")
        until(lambda: circuit(program, "queue") == "open", SECONDS, "the circuit to open")
        told_well(sender, n="first")
        over(books)
        until(lambda: circuit(program, "queue") == "half_open", SECONDS, "the time of a trial")
        before = queue.began()
        queue.ruin()
        queue.allow("mendable")
        nine = [{"alertname": "Down", "service": "queue", "n": str(n)} for n in range(9)]
        sender.post(*({"labels": labels} for labels in nine))
        until(lambda: books.number("SELECT count(*) FROM incidents") == 10, SECONDS, "all nine to be stored")
        until(lambda: _held(books) == 8, SECONDS, "the others to be held")
        queue.allow("go")
        over(books)
    assert queue.began() == before + 1
    assert queue.overlaps() == []
    ended = Counter(state for state, hold in books.rows(_ENDED) if hold in {"None", ""})
    assert ended["done"] == 9
    said = books.rows("SELECT count(*) FROM backlog_items WHERE explanation LIKE '%another item meanwhile'")
    assert said == [("8",)]
    conserved(program, books)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


_ENDED = "SELECT state, hold FROM backlog_items WHERE queue = 'restarts'"


def _held(books: Books) -> int:
    return books.number("SELECT count(*) FROM backlog_items WHERE hold = 'circuit' AND state = 'held'")
