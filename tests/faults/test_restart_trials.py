"""Two replicas, a half-open circuit, and a hundred alerts of its service at once (F10)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from e2e.bridge_scenes import Books, no_tracebacks
from e2e.restart_scenes import environment, restarting
from e2e.service_scenes import base
from faults.rounds import rounds
from servers.deliveries import alert, payload, post
from servers.programs import HOST, free_port, until
from servers.restarting import FAILS, MENDS, WAITS, Mended

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Program, Watchbridge

SECONDS = 60.0
ALERTS = 100
NODE = "here"


def _pair(watchbridge: Watchbridge, config: dict, folder: Path) -> list[Program]:
    started = []
    for name in ("first", "second"):
        config["listen"][0]["address"] = f"{HOST}:{free_port()}"
        path = watchbridge.configuration({**config, "replica": name, "node": NODE}, f"{name}.yml")
        started.append(watchbridge("serve", "--config", str(path), env=environment(folder)))
    return started


def _half_open(books: Books, service: str) -> None:
    """Let the circuit of a service be one that has opened long ago."""
    columns = "noun, name, failures, opened, opened_at, retry_at"
    books.rows(f"INSERT INTO circuits ({columns}) VALUES ('service', '{service}', 3, 1, 1, 2) RETURNING name")


def _states(books: Books, service: str) -> Counter[tuple[str, str]]:
    query = f"SELECT state, coalesce(hold, ''), count(*) FROM backlog_items WHERE service = '{service}' GROUP BY 1, 2"
    return Counter({(state, hold): int(count) for state, hold, count in books.rows(query)})


def test_f10_of_a_hundred_alerts_at_once_exactly_one_is_the_trial(postgres, watchbridge, tmp_path: Path) -> None:
    """Told to both replicas at once: one restart runs. It helps, and all are over; it does not, and all others wait."""
    services = []
    for number in range(rounds(3, 200)):
        then = MENDS if number % 2 == 0 else FAILS
        services.append(Mended(tmp_path, f"s{number}", f"{WAITS}; {then}"))
    entries = {
        one.name: one.service(
            node=NODE, circuit={"failures": 1, "reset": "1h"}, probe=_probe(one), restart={"rest": "1h", "delay": "1s"}
        )
        for one in services
    }
    config = restarting(tmp_path, entries, store=postgres.create_database(), fleet_breaker={"enabled": False})
    books = Books(config["store"], postgres)
    pair = _pair(watchbridge, config, tmp_path)
    for number, service in enumerate(services):
        _half_open(books, service.name)
        _told_to_both(pair, service)
        until(lambda service=service: _waiting(books, service), SECONDS, "one trial, and all others to be held")
        assert service.began() == 1
        service.allow("go")
        wanted = {("done", ""): ALERTS} if number % 2 == 0 else {("held", "circuit"): ALERTS}
        until(lambda one=service.name, wanted=wanted: _states(books, one) == wanted, SECONDS, str(wanted))
        assert service.began() == 1
        assert books.number(f"SELECT opened FROM circuits WHERE name = '{service.name}'") == 1 + number % 2
        trials = f"SELECT count(*) FROM service_restarts WHERE service = '{service.name}'"
        assert books.rows(trials) == [("1",)]
    assert [one.name for one in services if one.began() != 1 or one.overlaps()] == []
    for program in pair:
        assert program.stop() == 0
    no_tracebacks(pair)


def _probe(service: Mended) -> dict:
    """Return a probe that asks rarely by itself: there may be many services."""
    return {"kind": "command", "argv": ["/usr/bin/test", "-e", str(service.well)], "every": "1h", "timeout": "5s"}


def _waiting(books: Books, service: Mended) -> bool:
    return _states(books, service.name) == {("running", ""): 1, ("held", "circuit"): ALERTS - 1} and service.began() > 0


def _told_to_both(pair: list[Program], service: Mended) -> None:
    """Tell each replica of half of the alerts, in deliveries of ten, all at once."""
    names = [f"{service.name}-{number}" for number in range(ALERTS)]
    bodies = [
        payload([alert(name, service=service.name, instance=name) for name in names[start : start + 10]])
        for start in range(0, ALERTS, 10)
    ]

    def deliver(order: tuple[int, bytes]) -> int:
        number, body = order
        program = pair[number % 2]
        return until(lambda: post(base(program), body).status == 200, SECONDS, "the delivery to be taken")

    with ThreadPoolExecutor(len(bodies)) as threads:
        assert all(threads.map(deliver, enumerate(bodies)))
