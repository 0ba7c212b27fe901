"""A server is killed while it restarts a service: the next one looks how the service is before it does anything."""

from __future__ import annotations

import contextlib
import signal
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import Books, conserved, no_tracebacks
from e2e.restart_scenes import RealServer, environment, over, restarting
from e2e.service_scenes import base, get
from faults.rounds import rounds
from servers.deliveries import alert, payload, post
from servers.programs import until
from servers.restarting import MENDS, WAITS, Entry, Mended

if TYPE_CHECKING:
    from servers.program import Program

SECONDS = 30.0
POINTS = {
    "before": ("the claim is stored", "what runs before it has ended", "its program is about to be started"),
    "running": (None,),
    "after": ("its program has ended", "it was verified", "its end is about to be stored"),
}
"""Where the server is killed: before the program of the restart runs, while it does, and after that."""


def _config(web: Mended, folder: Path) -> dict:
    timing = {"before": ["/bin/true"], "timeout": "20s", "attempts": 3}
    return restarting(folder, {"web": web.service(restart=timing)})


def _told(program: Program, name: str) -> None:
    with contextlib.suppress(OSError, HTTPException):  # it may be killed before it has answered
        post(base(program), payload([alert(name, service="web")]))


def _alive(pid: int) -> bool:
    # A zombie has ended: whoever took it over has not asked for its status yet.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _killed(program: Program, hit: Entry | None, web: Mended, name: str) -> None:
    """Have a server killed while it restarts the service for a new alert."""
    before = web.began()
    if hit is not None:
        web.allow("go")
        hit.arm()
        _told(program, name)
        assert program.wait(SECONDS) == -signal.SIGKILL
        return
    (web.folder / "go").unlink(missing_ok=True)
    _told(program, name)
    until(lambda: web.began() > before, SECONDS, "the program of the restart to run")
    program.kill()
    until(lambda: not _alive(web.runs()[-1].pid), 10, "the end of what was left running")
    web.allow("go")


@pytest.mark.parametrize("phase", POINTS)
def test_f03_killed_while_it_restarts_a_service_it_looks_first_how_that_is(
    watchbridge, phase: str, tmp_path: Path
) -> None:
    """Well: closed without another run. Down: it counts as failed, and one more attempt is made; no two run at once."""
    web = Mended(tmp_path, "web", f"{WAITS}; {MENDS}")
    config = _config(web, tmp_path)
    books = Books(config["store"])
    points = POINTS[phase]
    program, hit = _started(watchbridge, config, points[0], tmp_path)
    for number in range(rounds(4 if phase == "running" else 3, 150)):
        is_well = number % 2 == 1
        web.ruin()
        runs = web.began() + (phase != "before")
        _killed(program, hit, web, f"{phase}-{number}")
        assert web.began() == runs
        assert books.states("restarts") == {"web": "running"}
        (web.mend if is_well else web.ruin)()
        program, hit = _started(watchbridge, config, points[(number + 1) % len(points)], tmp_path)
        over(books, SECONDS)
        assert web.began() == runs + (not is_well)
        assert books.rows(_ITEMS)[-1] == ("done", "1" if is_well else "2")
        assert [row[0] for row in books.rows(_RUNS)] == ["interrupted"] + ["done"] * (not is_well)
        assert books.rows(_LEASES) == [("0",)]
    assert web.overlaps() == []
    conserved(program, books)
    assert program.stop() == 0
    no_tracebacks(watchbridge.started)


def _started(watchbridge, config: dict, point: str | None, folder: Path) -> tuple[Program, Entry | None]:
    """Start a server that can be hit at a point; the same that looks after what the last one left."""
    hit = None if point is None else Entry(folder, point)
    env = environment(folder) if hit is None else hit.environment(watchbridge)
    return watchbridge("serve", config=config, env=env), hit


_ITEMS = "SELECT state, attempts FROM backlog_items WHERE queue = 'restarts' ORDER BY id"
_RUNS = (
    "SELECT outcome FROM action_runs WHERE item_id = (SELECT max(id) FROM backlog_items WHERE queue = 'restarts') "
    "ORDER BY attempt"
)
_LEASES = "SELECT count(*) FROM service_leases WHERE item_id IS NOT NULL"


@pytest.mark.parametrize("point", ["the old process has ended", "its program has ended"])
def test_f03_killed_while_it_restarts_a_process_it_never_leaves_two(watchbridge, point: str, tmp_path: Path) -> None:
    """Killed between end and start it is started by the next server; killed after the start it is left as it is."""
    with contextlib.closing(RealServer(tmp_path)) as web:
        config = restarting(tmp_path, {"web": web.service()})
        books = Books(config["store"])
        hit = Entry(tmp_path, point)
        for number in range(rounds(1, 50)):
            program = watchbridge("serve", config=config, env=hit.environment(watchbridge))
            over(books, SECONDS)
            assert len(web.pids()) == 1
            old = web.pid
            web.hang()
            hit.arm()
            _told(program, f"web-{number}")
            assert program.wait(SECONDS) == -signal.SIGKILL
            between = web.pids()
            assert old not in between
            assert len(between) == (point != "the old process has ended")
        program = watchbridge("serve", config=config, env=environment(tmp_path))
        over(books, SECONDS)
        assert len(web.pids()) == 1
        assert between in ([], web.pids())
        assert get(web.url)[0] == 204
        assert books.rows(_ITEMS)[-1] == ("done", "1" if between else "2")
        conserved(program, books)
        assert program.stop() == 0
    no_tracebacks(watchbridge.started)
