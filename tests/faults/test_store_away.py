"""The store goes away while services are probed: what was seen waits in memory, and nothing of it is lost."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from e2e.service_scenes import COUNTERS, Scrapes, asked, configuration, metrics, ready, runs, series, wait_state, web
from servers.programs import until
from servers.target import DEGRADED, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.databases import DatabaseServer


@pytest.fixture
def target() -> Iterator[Target]:
    """Give a healthy target."""
    with contextlib.closing(Target()) as server:
        yield server


class Away:
    """A store with a way to take it away and to bring it back."""

    def __init__(self, server: DatabaseServer, url: str, leave: Callable[[], None], back: Callable[[], None]) -> None:
        self.server, self.url, self.leave, self.back = server, url, leave, back

    def number(self, query: str) -> int:
        """Return the only value of a query."""
        return int(float(self.server.execute(query, urlsplit(self.url).path[1:])[0][0]))


@pytest.fixture(
    params=[
        pytest.param("own_postgres", id="stopped postgres"),
        pytest.param("own_mariadb", id="stopped mariadb", marks=pytest.mark.slow),
        pytest.param("postgres", id="behind a black hole"),
        pytest.param("mariadb", id="mariadb behind a black hole", marks=pytest.mark.slow),
    ]
)
def store(request: pytest.FixtureRequest, tcp_proxy) -> Away:
    """Give a store that is stopped like a crash, or that sits behind a network that swallows every packet."""
    server = request.getfixturevalue(request.param)
    if request.param.startswith("own_"):
        server = server()
        return Away(server, server.create_database(), lambda: server.stop("immediate"), server.start)
    proxy = tcp_proxy(server.port)

    def leave() -> None:
        proxy.mode = "blackhole"

    def back() -> None:
        proxy.mode = "pass"

    return Away(server, proxy.url(server.create_database()), leave, back)


def _counters(program) -> dict[str, float]:
    return {key: value for key, value in series(metrics(program)).items() if key.startswith(COUNTERS)}


def test_nothing_is_lost_while_the_store_is_away(store: Away, watchbridge, target: Target, tmp_path: Path) -> None:
    """Probes go on and states are right, readiness says what is wrong, counters stand still and catch up afterwards."""
    services = {"web": web(target.url(), series="full"), "other": web(target.url("/other"))}
    program = watchbridge("serve", config=configuration(tmp_path, services, store=store.url))
    until(lambda: runs(metrics(program), "web") >= 2, 15, "two runs")
    with Scrapes(lambda: [program.url]) as watched:
        store.leave()
        until(lambda: ready(program)[0] == 503, 20, "readiness to say it")
        assert "store" in ready(program)[1] or urlsplit(store.url).hostname in ready(program)[1]
        frozen, requests = _counters(program), target.asked()
        target.answer(200, DEGRADED)
        wait_state(program, "web", "degraded")
        target.answer(503)
        wait_state(program, "web", "down")
        until(lambda: target.asked() >= requests + 8, 15, "probes while it is away")
        assert _counters(program) == frozen
        last = series(metrics(program))['watchbridge_probe_last_run_timestamp_seconds{client="default",target="web"}']
        assert time.time() - last < 3
        store.back()
        until(lambda: ready(program)[0] == 200, 40, "readiness to say that it is back")
        until(lambda: runs(metrics(program)) >= target.asked() - 4, 20, "the counters to catch up")
        target.answer()
        wait_state(program, "web", "up")
    assert watched.falls == []
    assert watched.answered > 20
    assert program.stop(40) == 0
    assert "Traceback" not in program.output()
    requests = target.asked()
    assert store.number("SELECT count(*) FROM service_status") == requests
    assert store.number("SELECT sum(runs_success + runs_failure) FROM service_totals") == requests
    assert store.number("SELECT count(*) FROM service_states WHERE ended_at IS NULL") == len(services)
    stretches = asked(watchbridge, "history", "web", "--stretches")
    seen = [one["state"] for one in reversed(stretches) if one["state"] != "unknown"]
    assert seen == ["up", "degraded", "down", "up"]


def test_it_does_not_start_without_its_store(own_postgres, watchbridge, target: Target, tmp_path: Path) -> None:
    """A store that is down at the start is a sentence and the exit status 3; nothing is probed."""
    server = own_postgres()
    url = server.create_database()
    server.stop()
    path = watchbridge.configuration(configuration(tmp_path, {"web": web(target.url())}, store=url))
    done = watchbridge.run("serve", "--config", str(path))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert target.asked() == 0
