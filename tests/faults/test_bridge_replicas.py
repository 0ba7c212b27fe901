"""Two replicas on one store take deliveries and work them off between them (F09)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import Books, Script, configuration, kept, no_tracebacks, totals
from e2e.service_scenes import base, metrics
from faults.rounds import rounds
from servers.deliveries import Answer, alert, payload, post
from servers.programs import HOST, free_port, until

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Program, Watchbridge

REPLICAS = ("first", "second")


def _pair(watchbridge: Watchbridge, store: str, script: Script, folder: Path) -> list[Program]:
    config = configuration(folder, store=store, queues={"fix": script.queue(concurrency=4)})
    started = []
    for name in REPLICAS:
        config["listen"][0]["address"] = f"{HOST}:{free_port()}"
        path = watchbridge.configuration({**config, "replica": name}, f"{name}.yml")
        started.append(watchbridge("serve", "--config", str(path)))
    return started


@pytest.mark.parametrize("engine", ["postgres", pytest.param("mariadb", marks=pytest.mark.slow)])
def test_f09_what_both_are_told_is_done_once_by_one_of_them(
    engine: str, request: pytest.FixtureRequest, watchbridge, tmp_path: Path
) -> None:
    """Each delivery reaches both at the same moment, as a pair of Alertmanagers may: each item is run exactly once."""
    server, script = request.getfixturevalue(engine), Script(tmp_path)
    books = Books(server.create_database(), server)
    pair = _pair(watchbridge, books.store, script, tmp_path)
    numbers = [str(number) for number in range(rounds(100, 5000))]
    bodies = [payload([alert(one) for one in numbers[start : start + 5]]) for start in range(0, len(numbers), 5)]

    def deliver(order: tuple[Program, bytes]) -> Answer:
        program, body = order
        return until(lambda: _taken(program, body), 30, "the delivery to be taken")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(deliver, [(program, body) for body in bodies for program in pair]))
    assert sum(answer.said["accepted"] for answer in answers) == len(numbers)
    assert sum(answer.said["duplicates"] for answer in answers) == len(numbers)
    until(lambda: set(books.states().values()) == {"done"}, rounds(60, 1200), "all to be done")
    assert script.began() == script.ended() == dict.fromkeys(numbers, 1)
    assert script.overlaps() == []
    kept(books, set(numbers), set(numbers))
    shares = books.rows("SELECT replica, count(*) FROM action_runs GROUP BY replica")
    assert {name for name, _ in shares} == set(REPLICAS)
    counted: Counter[str] = Counter()
    for program in pair:
        counted += totals(metrics(program), "watchbridge_actions_total", "outcome")
        assert totals(metrics(program), "watchbridge_backlog_items", "state")["done"] == len(numbers)
    assert counted == {"done": len(numbers)}
    for program in pair:
        assert program.stop(40) == 0
    no_tracebacks(pair)


def _taken(program: Program, body: bytes) -> Answer | None:
    answer = post(base(program), body)
    assert answer.status in {200, 503}
    return answer if answer.status == 200 else None


def test_f09_one_that_is_killed_leaves_its_items_to_the_other(postgres, watchbridge, tmp_path: Path) -> None:
    """What it ran is kept for a person, nothing else of it is lost, and nothing is run twice."""
    script = Script(tmp_path, "sleep 0.2")
    books = Books(postgres.create_database(), postgres)
    first, second = _pair(watchbridge, books.store, script, tmp_path)
    numbers = [str(number) for number in range(40)]
    assert post(base(first), payload([alert(one) for one in numbers])).status == 200
    until(lambda: len(script.ended()) > 5, 30, "both to work")
    first.kill()
    # The lease of what it ran lasts for half a minute.
    until(lambda: set(books.states().values()) <= {"done", "dead"}, 90, "the other to take all over")
    began, states = script.began(), books.states()
    assert set(states) == set(numbers)
    assert {key: count for key, count in began.items() if count > 1} == {}
    assert [key for key, state in states.items() if state == "done" and began[key] != 1] == []
    assert Counter(states.values())["dead"] <= 4
    assert second.stop(40) == 0
    no_tracebacks([first, second])
