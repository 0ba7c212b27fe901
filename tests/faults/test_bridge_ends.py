"""The bridge is told to end while deliveries come and an action runs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from e2e.bridge_scenes import FIX, Books, Script, configuration, conserved, kept, no_tracebacks
from e2e.service_scenes import base
from faults.rounds import rounds
from servers.deliveries import History, Sender, alert, payload, post
from servers.programs import until

if TYPE_CHECKING:
    from pathlib import Path

WORK = {"name": "work", "matchers": ['alertname="Work"'], "action": "enqueue", "queue": "work", "key": "{n}"}
WAITS = 'i=0; while [ ! -e "$here/go" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done'

UNANSWERED = {"BrokenPipeError", "ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected"}
"""How a sender sees that nobody listens any more."""


def _running(watchbridge, script: Script, config: dict, key: str):
    program = watchbridge("serve", config=config)
    body = payload([{**alert(key), "labels": {"alertname": "Work", "n": key}}])
    assert post(base(program), body).status == 200
    until(lambda: script.began()[key], 20, "the action to run")
    return program


def test_f16_told_to_end_it_answers_what_it_took_and_ends_what_it_runs(watchbridge, tmp_path: Path) -> None:
    """Under load: what is acknowledged stays, new deliveries are refused, the action ends and is written down: 0."""
    script = Script(tmp_path, WAITS)
    config = configuration(tmp_path, rules=[FIX, WORK], queues={"fix": {}, "work": script.queue()})
    history, books = History(tmp_path / "history"), Books(config["store"])
    for number in range(rounds(2, 100)):
        (script.folder / "go").unlink(missing_ok=True)
        program = _running(watchbridge, script, config, f"work-{number}")
        with Sender(base(program), history) as sender:
            until(lambda sender=sender: sender.acked() > 20, 20, "the load")
            program.send(signal.SIGTERM)
            until(lambda sender=sender: sender.statuses[503] or sender.failures, 10, "the end to be told or seen")
            acked = sender.acked()
            until(lambda sender=sender: sum(sender.failures.values()) > 20 or sender.statuses[503] > 20, 10, "more")
            assert sender.acked() <= acked + 4, "no more than was on its way"
            assert program.exit_code is None, "it waits for what it runs"
            (script.folder / "go").touch()
            assert program.wait(25) == 0
        assert sender.unexpected == []
        assert set(sender.statuses) <= {200, 503}
        assert set(sender.failures) <= UNANSWERED
        assert script.ended()[f"work-{number}"] == 1
        assert books.states("work")[f"work-{number}"] == "done"
    works = set(books.states("work"))
    kept(books, history.of("sent") | works, history.of("acked") | works, ("fix", "work"))
    again = watchbridge("serve", config=config)
    conserved(again, books)
    assert set(script.began().values()) == {1}
    assert again.stop() == 0
    no_tracebacks(watchbridge.started)


@pytest.mark.parametrize("interrupted", ["dead", "retry"])
def test_f16_told_a_second_time_it_does_not_wait_for_what_it_runs(
    watchbridge, interrupted: str, tmp_path: Path
) -> None:
    """The action is stopped and the item judged as after a crash, by this life or the next; the end is clean."""
    script = Script(tmp_path, WAITS)
    queue = script.queue(attempts=2, interrupted=interrupted)
    config = configuration(tmp_path, rules=[WORK], queues={"work": queue})
    books = Books(config["store"])
    program = _running(watchbridge, script, config, "work")
    program.send(signal.SIGTERM)
    until(lambda: "shutting down" in program.output(), 10, "the first to be taken")
    program.send(signal.SIGTERM)
    # The grace of an action is ten seconds.
    assert program.wait(8) == 0
    assert script.ended() == {}
    if interrupted == "dead":
        assert books.states("work") == {"work": "dead"}
        assert script.began() == {"work": 1}
        return
    assert books.states("work") == {"work": "failed"}
    (script.folder / "go").touch()
    again = watchbridge("serve", config=config)
    until(lambda: books.states("work") == {"work": "done"}, 20, "the second try")
    assert (script.began(), script.overlaps()) == ({"work": 2}, [])
    assert again.stop() == 0
    no_tracebacks(watchbridge.started)
