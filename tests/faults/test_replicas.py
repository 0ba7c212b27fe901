"""Two replicas on one store share the services between them, whatever happens to one of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest
from e2e.service_scenes import Scrapes, configuration, metrics, ready, series, state, web
from servers.programs import HOST, until
from servers.target import Target, black_hole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.program import Program, Watchbridge

SERVICES = 20


@pytest.fixture
def target() -> Iterator[Target]:
    """Give a healthy target."""
    with contextlib.closing(Target()) as server:
        yield server


@pytest.fixture(params=["postgres", pytest.param("mariadb", marks=pytest.mark.slow)])
def shared(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty shared store."""
    return str(request.getfixturevalue(request.param).create_database())


class Pair:
    """Two programs by their names, each with a configuration of its own but for the store and the services."""

    def __init__(self, watchbridge: Watchbridge, store: str, services: dict, folder: Path) -> None:
        self.watchbridge = watchbridge
        self.configs = {
            name: configuration(folder, services, store=store, replica=name) for name in ("first", "second")
        }
        self.running: dict[str, Program] = {}

    def start(self, name: str) -> None:
        """Start one and wait until it answers."""
        self.running[name] = self.watchbridge("serve", config=self.configs[name])

    def urls(self) -> list[str]:
        """Return where the two answer, whether they run or not."""
        return [f"http://{config['listen'][0]['address']}/metrics" for config in self.configs.values()]

    def owned(self) -> dict[str, set[str]]:
        """Return the services that each shows, and check that it says how many they are."""
        found = {}
        for name, program in self.running.items():
            text = metrics(program)
            shown = set(re.findall(r'watchbridge_service_state\{client="default",target="([^"]+)"', text))
            assert series(text)["watchbridge_replica_owned_services"] == len(shown)
            found[name] = {target for target in shown if not target.startswith("hung")}
        return found


def _shared_out(owned: dict[str, set[str]]) -> bool:
    """Say whether each service is owned by exactly one, and each replica owns some."""
    sets = list(owned.values())
    return all(sets) and sum(map(len, sets)) == SERVICES == len(set().union(*sets))


def _pair(watchbridge, shared: str, target: Target, folder: Path) -> Pair:
    return Pair(watchbridge, shared, {f"s{n}": web(target.url(f"/{n}")) for n in range(SERVICES)}, folder)


def test_each_service_is_probed_by_exactly_one(shared: str, watchbridge, target: Target, tmp_path: Path) -> None:
    """Killed, started again, ended: the services move as they should, and no counter of either falls over it."""
    pair = _pair(watchbridge, shared, target, tmp_path)
    pair.start("first")
    until(lambda: len(pair.owned()["first"]) == SERVICES, 10, "one to own all")
    until(lambda: _all_up(pair), 10, "all to be up")
    with Scrapes(pair.urls) as watched:
        pair.start("second")
        until(lambda: _shared_out(pair.owned()), 15, "the two to share")
        shares = pair.owned()

        pair.running.pop("second").kill()
        until(lambda: len(pair.owned()["first"]) == SERVICES, 18, "the first to own all after a kill")
        until(lambda: _all_up(pair), 5, "all to be up")

        pair.start("second")
        until(lambda: pair.owned() == shares, 15, "the two to share as before")
        _probed_once(target)

        assert pair.running.pop("second").stop() == 0
        began = time.monotonic()
        until(lambda: len(pair.owned()["first"]) == SERVICES, 10, "the first to own all after an end")
        assert time.monotonic() - began < 6
        until(lambda: _all_up(pair), 5, "all to be up")
    assert watched.falls == []
    assert watched.answered > 50


def test_two_that_begin_at_once_take_no_service_twice(postgres, watchbridge, target: Target, tmp_path: Path) -> None:
    """Started at the same moment on an empty store they share, and the books of each service are those of one."""
    pair = _pair(watchbridge, postgres.create_database(), target, tmp_path)
    for name, config in pair.configs.items():
        path = watchbridge.configuration(config, f"{name}.yml")
        pair.running[name] = watchbridge("serve", "--config", str(path), wait=False)
    with Scrapes(pair.urls) as watched:
        for program in pair.running.values():
            program.wait_ready()
        until(lambda: _shared_out(pair.owned()), 15, "the two to share")
        _probed_once(target)
    assert watched.falls == []
    for program in pair.running.values():
        assert program.stop() == 0
        assert "Traceback" not in program.output()
    _books_are_right(postgres.execute, pair)


@pytest.mark.slow
def test_one_that_stood_still_takes_back_only_what_is_its_own(
    postgres, watchbridge, target: Target, tmp_path: Path
) -> None:
    """Stopped for longer than its heartbeat and continued, it does not count what the other watched meanwhile."""
    pair = _pair(watchbridge, postgres.create_database(), target, tmp_path)
    pair.start("first")
    pair.start("second")
    until(lambda: _shared_out(pair.owned()), 15, "the two to share")
    shares, second = pair.owned(), pair.running["second"]
    with Scrapes(lambda: pair.urls()[:1] if "second" not in pair.running else pair.urls()) as watched:
        del pair.running["second"]
        os.kill(second.pid, signal.SIGSTOP)
        until(lambda: len(pair.owned()["first"]) == SERVICES, 18, "the first to own all")
        until(lambda: _all_up(pair), 5, "all to be up")
        pair.running["second"] = second
        os.kill(second.pid, signal.SIGCONT)
        until(lambda: pair.owned() == shares, 20, "the two to share as before")
        _probed_once(target)
    assert watched.falls == []
    for program in pair.running.values():
        assert ready(program)[0] == 200
        assert program.stop() == 0
        assert "Traceback" not in program.output()
    _books_are_right(postgres.execute, pair)


@pytest.mark.slow
def test_one_that_ends_slowly_keeps_its_services_until_then(
    postgres, watchbridge, target: Target, tmp_path: Path
) -> None:
    """While its last runs hang it is not taken for dead: nothing is watched or counted by both."""
    pair = _pair(watchbridge, postgres.create_database(), target, tmp_path)
    with black_hole() as hole:
        slow = web(f"http://{HOST}:{hole}/", probe={"every": "1s", "timeout": "100s"})
        for config in pair.configs.values():
            config["services"] = {**config["services"], "hung-1": slow, "hung-2": slow, "hung-3": slow, "hung-4": slow}
        pair.start("first")
        until(lambda: _all_up(pair), 10, "all to be up")
        ending = pair.running["first"]
        until(lambda: "watchbridge_probes_running 4" in metrics(ending), 10, "the runs that hang")
        pair.start("second")
        until(lambda: _shared_out(pair.owned()), 15, "the two to share")
        with Scrapes(pair.urls) as watched:
            del pair.running["first"]
            assert ending.stop(25) == 0
            until(lambda: len(pair.owned()["second"]) == SERVICES, 6, "the second to own all")
        assert watched.falls == []
        assert pair.running["second"].stop(25) == 0
    _books_are_right(postgres.execute, pair, SERVICES + 4)


@pytest.mark.slow
def test_no_one_is_taken_for_dead_because_the_store_was_away(
    own_postgres, watchbridge, target: Target, tmp_path: Path
) -> None:
    """The store is away for longer than a heartbeat may be: afterwards each goes on with its own services."""
    server = own_postgres()
    pair = _pair(watchbridge, server.create_database(), target, tmp_path)
    pair.start("first")
    pair.start("second")
    until(lambda: _shared_out(pair.owned()), 15, "the two to share")
    shares = pair.owned()
    with Scrapes(pair.urls) as watched:
        server.stop("immediate")
        gone = time.monotonic()
        until(lambda: time.monotonic() - gone > 13, 20, "thirteen seconds")
        assert pair.owned() == shares
        server.start()
        until(lambda: all(ready(one)[0] == 200 for one in pair.running.values()), 20, "both to be ready")
        until(lambda: pair.owned() == shares, 15, "the two to share as before")
        _probed_once(target)
        assert pair.owned() == shares
    assert watched.falls == []
    unseen = "SELECT count(*) FROM service_states WHERE reason LIKE 'nobody looked%'"
    assert server.execute(unseen, _database(pair)) == [("0",)]
    for program in pair.running.values():
        assert program.stop() == 0
    _books_are_right(server.execute, pair)


def _database(pair: Pair) -> str:
    return str(pair.configs["first"]["store"]).rpartition("/")[2]


def _books_are_right(execute, pair: Pair, services: int = SERVICES) -> None:
    """Of each service one stretch is open, none overlaps another, and the totals are the sums of the stretches."""
    database = _database(pair)
    (opened,) = execute("SELECT count(*) FROM service_states WHERE ended_at IS NULL", database)
    assert opened == (str(services),)
    (overlapping,) = execute(
        "SELECT count(*) FROM service_states one JOIN service_states two USING (service_id)"
        " WHERE one.id < two.id AND one.began_at < two.ended_at - 0.001 AND two.began_at < one.ended_at - 0.001",
        database,
    )
    assert overlapping == ("0",)
    wrong = execute(
        "SELECT service_id, up_seconds, lasted FROM service_totals JOIN (SELECT service_id, sum(ended_at - began_at)"
        " AS lasted FROM service_states WHERE state = 'up' AND ended_at IS NOT NULL GROUP BY service_id) AS states"
        " USING (service_id) WHERE abs(up_seconds - lasted) > 0.01",
        database,
    )
    assert wrong == []
    (readings,) = execute(
        "SELECT (SELECT count(*) FROM service_status) - (SELECT sum(runs_success + runs_failure) FROM service_totals)",
        database,
    )
    assert readings == ("0",)


def _all_up(pair: Pair) -> bool:
    return all(state(metrics(pair.running["first"]), f"s{n}") == "up" for n in range(SERVICES))


def _probed_once(target: Target) -> None:
    """Count the requests of five seconds: one a second and service, not two."""
    asked = {f"/{n}" for n in range(SERVICES)}
    until(lambda: asked <= set(target.requests), 15, "each service to be probed")
    before, began = dict(target.requests), time.monotonic()
    until(lambda: time.monotonic() - began > 5, 10, "five seconds")
    after, lasted = dict(target.requests), time.monotonic() - began
    for n in range(SERVICES):
        made = after[f"/{n}"] - before[f"/{n}"]
        assert lasted - 2 <= made <= lasted + 2, f"/{n}"
