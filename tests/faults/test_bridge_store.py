"""The store of the bridge restarts, hangs, is locked or full: nobody is told of something that it is stored if not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import FIX, Books, Script, configuration, conserved, kept, no_tracebacks
from e2e.service_scenes import base, metrics, ready
from faults.rounds import LONG, rounds
from servers.deliveries import History, Sender, alert, payload, post
from servers.programs import Child, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.program import Program

BACK_SECONDS = 30.0
"""How long it may take on a busy machine until deliveries are taken again; on an idle one it is below five."""


def _goes_on(sender: Sender) -> None:
    acked = sender.acked()
    until(lambda: sender.acked() > acked, BACK_SECONDS, "deliveries to be taken again")


def _ends_well(program: Program, sender: Sender, books: Books) -> None:
    """Check that there was no answer but 200 and 503, and what is stored; and end it."""
    assert sender.unexpected == []
    assert set(sender.statuses) <= {200, 503}
    kept(books, sender.history.of("sent"), sender.history.of("acked"))
    conserved(program, books)
    assert program.stop(40) == 0
    no_tracebacks([program])


def test_f06_postgresql_restarts_under_load(own_postgres, watchbridge, tmp_path: Path) -> None:
    """Meanwhile each delivery is answered with 503, afterwards they are taken; none is lost and none is doubled."""
    server = own_postgres()
    config = configuration(tmp_path, store=server.create_database())
    books = Books(config["store"], server)
    program = watchbridge("serve", config=config)
    with Sender(base(program), History(tmp_path / "history")) as sender:
        for number in range(rounds(3, 50)):
            _goes_on(sender)
            refused = sender.statuses[503]
            server.stop("immediate" if number % 2 else "fast")
            until(lambda refused=refused: sender.statuses[503] > refused, BACK_SECONDS, "a refusal")
            server.start()
            _goes_on(sender)
        assert sender.failures == {}
    until(lambda: ready(program)[0] == 200, BACK_SECONDS, "readiness")
    _ends_well(program, sender, books)


def test_f07_every_packet_to_postgresql_is_dropped(postgres, tcp_proxy, watchbridge, tmp_path: Path) -> None:
    """Each delivery is answered with 503 all the same; nothing is begun that the store cannot be told of."""
    script = Script(tmp_path)
    store = postgres.create_database()
    proxy = tcp_proxy(postgres.port)
    work = {**FIX, "name": "work", "queue": "work", "matchers": ['alertname="Work"']}
    config = configuration(
        tmp_path, store=proxy.url(store), rules=[FIX, work], queues={"fix": {}, "work": script.queue()}
    )
    books = Books(store, postgres)
    program = watchbridge("serve", config=config)
    with Sender(base(program), History(tmp_path / "history")) as sender:
        for number in range(rounds(3, 60)):
            _goes_on(sender)
            refused = sender.statuses[503]
            proxy.mode = "blackhole"
            body = payload([{**alert(f"w{number}"), "labels": {"alertname": "Work", "n": f"w{number}"}}])
            assert post(base(program), body).status == 503
            until(lambda refused=refused: sender.statuses[503] > refused, BACK_SECONDS, "a refusal")
            assert script.began()[f"w{number}"] == 0
            proxy.mode = "pass"
            answer = until(lambda body=body: _taken(program, body), BACK_SECONDS, "it to be taken")
            assert answer["accepted"] + answer["duplicates"] == 1
        assert sender.failures == {}
    until(lambda: set(books.states("work").values()) == {"done"}, BACK_SECONDS, "the work to be done")
    assert script.began() == script.ended() == dict.fromkeys(books.states("work"), 1)
    works, history = set(books.states("work")), sender.history
    kept(books, history.of("sent") | works, history.of("acked") | works, ("fix", "work"))
    assert sender.unexpected == []
    assert program.stop(40) == 0
    no_tracebacks([program])


@pytest.mark.skipif(not LONG, reason="a lease lasts for half a minute: `make faults` waits for it")
def test_f07_what_runs_is_stopped_before_its_lease_ends_when_the_store_is_away(
    postgres, tcp_proxy, watchbridge, tmp_path: Path
) -> None:
    """Nobody else could know that it runs still; back again, it is kept for a person and not begun a second time."""
    script = Script(tmp_path, "sleep 100")
    store = postgres.create_database()
    proxy = tcp_proxy(postgres.port)
    program = watchbridge(
        "serve", config=configuration(tmp_path, store=proxy.url(store), queues={"fix": script.queue()})
    )
    books = Books(store, postgres)
    assert post(base(program), payload([alert("a")])).status == 200
    until(lambda: script.began()["a"], 20, "the action to run")
    number = (script.folder / "at-a").read_text().strip()
    proxy.mode = "blackhole"
    until(lambda: not Path(f"/proc/{number}").exists(), 29, "the action to be stopped")
    proxy.mode = "pass"
    until(lambda: books.states() == {"a": "dead"}, BACK_SECONDS, "it to be written down")
    assert (script.began(), script.ended()) == ({"a": 1}, {})
    assert program.stop(40) == 0
    no_tracebacks([program])


def _taken(program: Program, body: bytes) -> dict | None:
    answer = post(base(program), body)
    assert answer.status in {200, 503}
    return answer.said if answer.status == 200 else None


def test_f12_another_program_holds_the_database_file(watchbridge, tmp_path: Path) -> None:
    """A short lock is waited for, a long one is answered with 503 and a sentence; then it is taken, once."""
    config = configuration(tmp_path)
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    sent = set()
    for number in range(rounds(1, 20)):
        waits, late = f"waits-{number}", f"late-{number}"
        sent |= {waits, late}
        statuses: list[int] = []
        poster = threading.Thread(target=_posts, args=(program, waits, statuses), daemon=True)
        with _locked(config["store"]):
            began = time.monotonic()
            poster.start()
            until(lambda began=began: time.monotonic() > began + 1, 5, "a second")
            assert statuses == []
        poster.join(20)
        assert statuses == [200]
        with _locked(config["store"]):
            answer = post(base(program), payload([alert(late)]))
            assert (answer.status, answer.said["code"]) == (503, "cannot_store")
            assert answer.headers["retry-after"]
            assert "locked" in answer.said["detail"]
        again = post(base(program), payload([alert(late), alert(waits)]))
        assert (again.status, again.said["accepted"], again.said["duplicates"]) == (200, 1, 1)
    kept(books, sent, sent)
    until(lambda: ready(program)[0] == 200, BACK_SECONDS, "readiness")
    conserved(program, books)
    assert program.stop() == 0
    no_tracebacks([program])


def _posts(program: Program, number: str, statuses: list[int]) -> None:
    statuses.append(post(base(program), payload([alert(number)])).status)


@contextlib.contextmanager
def _locked(store: str) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", str(disk)]
    is_root = sys.platform == "linux" and os.geteuid() == 0
    if not is_root or subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip("a file system of 8 MiB can be mounted by root on Linux only")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_f11_a_full_disk_is_never_a_200(small_disk: Path, watchbridge, tmp_path: Path) -> None:
    """Full, it refuses and says so, and what was stored can be read; with space it goes on by itself, all is whole."""
    ballast = small_disk / "ballast"
    for number in range(rounds(1, 30)):
        ballast.write_bytes(b"\0" * 5_000_000)
        config = configuration(small_disk)
        books = Books(config["store"])
        program = watchbridge("serve", config=config)
        with Sender(base(program), History(tmp_path / f"history-{number}"), alerts=100, threads=2) as sender:
            until(lambda sender=sender: sender.statuses[503] > 10, 60, "the disk to be full")
            assert sender.acked() > 0
            assert any("full" in sentence for sentence in sender.refusals)
            assert books.incidents()
            assert "watchbridge_build_info" in metrics(program)
            ballast.unlink()
            _goes_on(sender)
        assert sender.failures == {}
        until(lambda program=program: ready(program)[0] == 200, BACK_SECONDS, "readiness")
        assert books.whole()
        _ends_well(program, sender, books)
        shutil.rmtree(small_disk / "state")


@contextlib.contextmanager
def _strace(program: Program, folder: Path, *arguments: str) -> Iterator[None]:
    """Trace a program, all its threads, while the block lasts."""
    found = shutil.which("strace")
    if found is None and os.environ.get("CI"):
        pytest.fail("strace is not installed: run tests/install-servers", pytrace=False)
    if found is None:
        pytest.skip("strace is not installed: tests/install-servers does that")
    log = folder / "strace"
    log.unlink(missing_ok=True)
    child = Child([found, "-f", "-o", str(folder / "trace"), *arguments, "-p", str(program.pid)], log)
    try:
        until(lambda: "attached" in log.read_text(), 20, "strace to be attached")
        yield
    finally:
        child.end(signal.SIGINT)


def test_f11_a_disk_that_cannot_sync_is_never_a_200(watchbridge, tmp_path: Path) -> None:
    """While fsync answers EIO deliveries are refused; afterwards they are taken, and what was promised is there."""
    config = configuration(tmp_path)
    books = Books(config["store"])
    program = watchbridge("serve", config=config)
    assert post(base(program), payload([alert("before")])).status == 200
    inject = ("-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")
    for number in range(rounds(2, 30)):
        with _strace(program, tmp_path, *inject):
            answer = post(base(program), payload([alert(f"during-{number}")]))
            assert (answer.status, answer.said["code"]) == (503, "cannot_store")
            assert post(base(program), payload([alert(f"never-{number}")])).status == 503
        answer = until(lambda number=number: _taken(program, payload([alert(f"during-{number}")])), 20, "it to go on")
        assert answer["accepted"] + answer["duplicates"] == 1
    acked = {"before", *(f"during-{number}" for number in range(rounds(2, 30)))}
    program.kill()
    assert books.whole()
    kept(books, acked | {f"never-{number}" for number in range(rounds(2, 30))}, acked)
