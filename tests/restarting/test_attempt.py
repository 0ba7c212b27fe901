"""One attempt: look, prepare, restart, wait, judge; whatever happens it ends in a word and a sentence."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest
from servers.restarts import FAILS, HELPS_NOT, Machine, written

from exporter import acting, config, fences, kinds, probing
from exporter.clock import SystemClock
from exporter.handover import OUTPUT
from exporter.logs import REDACTION
from exporter.model import Done, GiveUp, Item, Plan, Reading, Retry
from exporter.restarting import attempt as attempts
from exporter.restarting.attempt import Attempt, Ground, attempted, judged, looked_at
from exporter.restarting.strategy import Strategy, restartable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ITEM: Final = Item(1, "restarts", "web", service="web")
CLOCK: Final = SystemClock()
CANARY: Final = "canary-5ecret-of-a-token"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine with fences of its own, that is looked at without waiting for long."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(attempts, "POLL", 0.02)
    monkeypatch.setattr(attempts, "FENCE_SECONDS", 0.05)
    return Machine(tmp_path)


def strategy(machine: Machine, then: str | None = None, **more: Any) -> Strategy:
    """Return how the service `web` is restarted; further words stand below `services.web`."""
    timing = {"verify_timeout": "20s"} | more.pop("timing", {})
    text = written({"web": machine.service("web", then, timing=timing, **more)})
    return restartable(config.parse(text, name="c.yml", environ={}), "here").strategies["web"]


def ground(fence: int = 1, holds: Callable[[], bool] = lambda: True) -> Ground:
    parts = probing.Parts(wire=None, databases={}, clock=CLOCK, permits=lambda _: True)
    return Ground(CLOCK, acting.Parts(CLOCK), parts, "the store", fence, holds)


def looks_good_at(machine: Machine, number: int) -> dict[str, Any]:
    """Return a probe that finds the service up from that look on."""
    script = f"echo >> {machine.folder}/looks; test $(wc -l < {machine.folder}/looks) -ge {number}"
    return {"kind": "command", "argv": ["/bin/sh", "-c", script]}


def looks(machine: Machine) -> int:
    """Return how often that probe was asked."""
    path = machine.folder / "looks"
    return path.read_text().count("\n") if path.exists() else 0


async def test_what_is_up_is_left_alone(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing runs, not even what runs before; and no restart is told of that was none."""
    machine.up("web").touch()
    one = strategy(machine, timing={"before": ["/bin/sh", "-c", f"touch {machine.folder}/before"]})
    with caplog.at_level(logging.INFO):
        found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.acted, found.verified, found.output) == ("healthy", False, None, "")
    assert found.detail.startswith("nothing was restarted: it is up: ")
    assert (machine.marks("web"), (machine.folder / "before").exists(), caplog.text) == (0, False, "")


@pytest.mark.parametrize(
    ("patience", "timing"), [(None, {}), (0.0, {"check": False}), (1.0, {"check": False})], ids=["a person", "0", "1"]
)
async def test_what_is_up_is_restarted_all_the_same(
    machine: Machine, patience: float | None, timing: dict[str, Any]
) -> None:
    """Where a person wants it, or where alerts tell of more than the probe sees."""
    machine.up("web").touch()
    found = await attempted(strategy(machine, timing=timing), ITEM, ground(), patience)
    assert (found.word, found.acted, found.verified, machine.marks("web")) == ("done", True, True, 1)


async def test_what_is_degraded_is_restarted_and_that_it_is_no_worse_is_enough(machine: Machine) -> None:
    """Up is what is left alone; up or degraded is what helped."""
    slow = {"kind": "command", "argv": ["/bin/sh", "-c", "echo slow; exit 1"], "nagios": True}
    found = await attempted(strategy(machine, probe=slow), ITEM, ground(), 0.0)
    assert (found.word, machine.marks("web")) == ("done", 1)
    assert found.detail.startswith("restarted and verified: it is degraded: ")


async def test_the_log_has_the_process_monitors_words(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Exactly (S3.83), and nothing of success where there was none."""
    with caplog.at_level(logging.INFO):
        found = await attempted(strategy(machine), ITEM, ground(), 0.0)
        failed = await attempted(strategy(machine, FAILS), ITEM, ground(), None)
    assert (found.word, failed.word) == ("done", "retry")
    assert [(line.name, line.levelname, line.getMessage()) for line in caplog.records] == [
        ("exporter.restarts", "INFO", "RESTART LOG: Beginning restart procedure for web (strategy: command)"),
        ("exporter.restarts", "INFO", "RESTART LOG: Successfully restarted and verified service: web"),
        ("exporter.restarts", "INFO", "RESTART LOG: Beginning restart procedure for web (strategy: command)"),
    ]


BEFORE = [
    pytest.param(["/bin/sh", "-c", "echo bad line 7; exit 1"], "says no (exit status 1: bad line 7)", "7\n", id="no"),
    pytest.param(["/bin/sh", "-c", "kill -9 $$"], "says no (ended by the signal SIGKILL)", "", id="killed"),
    pytest.param(["/bin/sh", "-c", "echo so far; exec sleep 60"], "did not end within 0.3 s", "so far\n", id="hung"),
]


@pytest.mark.parametrize(("argv", "why", "output"), BEFORE)
async def test_what_runs_before_must_say_yes(machine: Machine, argv: list[str], why: str, output: str) -> None:
    """Else nothing is restarted, and that is a failure of the service."""
    one = strategy(machine, timing={"before": argv, "before_timeout": "300ms"})
    found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.acted, found.verified) == ("retry", False, False)
    assert found.detail == f"nothing was restarted: what runs before it {why}"
    assert found.output.endswith(output)
    assert machine.marks("web") == 0


async def test_a_program_before_it_that_is_gone(machine: Machine) -> None:
    program = machine.folder / "check"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    one = strategy(machine, timing={"before": [str(program)]})
    assert (await attempted(one, ITEM, ground(), 0.0)).word == "done"
    program.unlink()
    found = await attempted(one, ITEM, ground(2), None)
    assert (found.word, found.acted, found.verified) == ("retry", False, False)
    assert f"'{program}' could not be started" in found.detail
    assert machine.marks("web") == 1


async def test_what_runs_before_gets_a_clean_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours, where secrets may be."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{CANARY}@host/name")
    one = strategy(machine, timing={"before": ["/bin/sh", "-c", "env; exit 1"]})
    found = await attempted(one, ITEM, ground(), 0.0)
    assert "PATH=" in found.output
    assert CANARY not in found.output


ENDS = [
    pytest.param(FAILS, {}, "retry", "exit status 1: disk full", id="fails"),
    pytest.param("echo no such unit; exit 65", {}, "give_up", "exit status 65: no such unit", id="gives up"),
    pytest.param("exec sleep 60", {"timeout": "300ms"}, "retry", "did not end within 0.3 s and was killed", id="hangs"),
]


@pytest.mark.parametrize(("then", "timing", "word", "detail"), ENDS)
async def test_a_restart_that_fails_is_not_judged(
    machine: Machine, then: str, timing: dict[str, Any], word: str, detail: str
) -> None:
    """It may have changed something, so it counts as a restart; nothing says that it helped."""
    one = strategy(machine, then, timing={"give_up_on": [65], "verify": looks_good_at(machine, 1), **timing})
    found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.detail, found.acted, found.verified) == (word, detail, True, False)
    assert (machine.marks("web"), looks(machine)) == (1, 0)


async def test_it_may_take_a_while_until_it_is_well(machine: Machine) -> None:
    """It is looked at again and again within `verify_timeout`, and no longer than it needs."""
    one = strategy(machine, HELPS_NOT, timing={"verify": looks_good_at(machine, 4), "verify_timeout": "20s"})
    found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.acted, found.verified) == ("done", True, True)
    assert found.detail.startswith("restarted and verified: it is up: ")
    assert (machine.marks("web"), looks(machine)) == (1, 4)


async def test_what_never_is_well_is_not_verified(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """The last look says how it is; nobody is told of success."""
    with caplog.at_level(logging.INFO):
        one = strategy(machine, HELPS_NOT, timing={"verify_timeout": "100ms"})
        found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.acted, found.verified, machine.marks("web")) == ("unverified", True, False, 1)
    assert found.detail.startswith("restarted, but it is down: ")
    assert "Successfully" not in caplog.text


async def test_what_hung_on_another_gets_patience(machine: Machine) -> None:
    """Its parent was mended just now: it may be well by itself in a moment."""
    one = strategy(machine, probe=looks_good_at(machine, 3))
    found = await attempted(one, ITEM, ground(), 20.0)
    assert (found.word, machine.marks("web"), looks(machine)) == ("healthy", 0, 3)


async def test_patience_ends(machine: Machine) -> None:
    """Then it is restarted."""
    found = await attempted(strategy(machine), ITEM, ground(), 0.1)
    assert (found.word, machine.marks("web")) == ("done", 1)


async def test_where_the_service_has_no_probe_nobody_looks_first(machine: Machine) -> None:
    """The probe that verifies is for afterwards: it may be a stricter one."""
    verify = looks_good_at(machine, 1)
    text = written({"web": {"restart": machine.restart("web", verify=verify)}})
    one = restartable(config.parse(text, name="c.yml", environ={}), "here").strategies["web"]
    found = await attempted(one, ITEM, ground(), 5.0)
    assert (found.word, machine.marks("web"), looks(machine)) == ("done", 1, 1)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("when", ["before", "restart"])
async def test_cancelled_nothing_of_it_runs_on(machine: Machine, when: str) -> None:
    """Neither what was started nor what that started; the fence is free."""
    hangs = f"sleep 60 & echo $! $$ > {machine.folder}/pids; wait"
    timing = {"before": ["/bin/sh", "-c", hangs]} if when == "before" else {}
    one = strategy(machine, hangs if when == "restart" else None, timing=timing)
    task = asyncio.create_task(attempted(one, ITEM, ground(), 0.0))
    pids = machine.folder / "pids"
    async with asyncio.timeout(20):
        while not pids.exists() or not pids.read_text().endswith("\n"):  # noqa: ASYNC110 -- a process says it
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        while any(map(lives, map(int, pids.read_text().split()))):  # noqa: ASYNC110 -- the kernel ends them
            await asyncio.sleep(0.01)
    async with fences.held("web", 2, store="the store", seconds=0.0):
        pass


async def test_what_it_says_is_bounded_and_holds_no_secret(machine: Machine) -> None:
    """Of the restart, and of what runs before it; nor does the sentence."""
    REDACTION.learn([CANARY])
    loud = f"echo {CANARY}; i=0; while [ $i -lt 2000 ]; do echo {'x' * 60} {CANARY}; i=$((i+1)); done; exit 1"
    restarted = await attempted(strategy(machine, loud), ITEM, ground(), 0.0)
    timing = {"before": ["/bin/sh", "-c", loud]}
    prepared = await attempted(strategy(machine, timing=timing), ITEM, ground(2), 0.0)
    for found in (restarted, prepared):
        assert 0 < len(found.output.encode()) <= OUTPUT
        assert CANARY not in found.output
    assert CANARY not in restarted.detail


async def test_a_secret_that_the_bound_cuts_is_left_out(machine: Machine) -> None:
    """What is kept of it is no secret that anybody knows to hide."""
    REDACTION.learn([CANARY])
    script = f"head -c {OUTPUT - 12} /dev/zero | tr '\\0' x; echo {CANARY}; exit 1"
    found = await attempted(strategy(machine, timing={"before": ["/bin/sh", "-c", script]}), ITEM, ground(), 0.0)
    assert found.word == "retry"
    assert CANARY[:6] not in found.output


async def test_another_restart_on_this_host_is_not_overlapped(machine: Machine) -> None:
    """That says nothing of the service: nothing was restarted, and nothing is counted."""
    async with fences.held("web", 1, store="another store", seconds=0.0):
        found = await attempted(strategy(machine), ITEM, ground(), 0.0)
    assert (found.word, found.acted, found.verified, machine.marks("web")) == ("retry", False, None, 0)
    assert "'web' is being restarted on this host by another process" in found.detail


async def test_who_waited_for_another_restart_looks_after_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have mended the service."""
    monkeypatch.setattr(attempts, "FENCE_SECONDS", 20.0)
    async with fences.held("web", 1, store="another store", seconds=0.0):
        task = asyncio.create_task(attempted(strategy(machine), ITEM, ground(), 0.0))
        await asyncio.wait({task}, timeout=0.2)
        machine.up("web").touch()
    found = await task
    assert (found.word, found.acted, machine.marks("web")) == ("healthy", False, 0)


async def test_whose_lease_was_taken_over_restarts_nothing(machine: Machine) -> None:
    """A process that was stopped meanwhile comes with an older number (F08)."""
    assert (await attempted(strategy(machine), ITEM, ground(8), None)).word == "done"
    found = await attempted(strategy(machine), ITEM, ground(7), None)
    assert (found.word, found.acted, found.verified, machine.marks("web")) == ("retry", False, None, 1)
    assert "(8 came after 7)" in found.detail


async def test_a_kind_that_acts_on_no_host_needs_no_fence(machine: Machine) -> None:
    one = replace(strategy(machine), on_host=False)
    async with fences.held("web", 9, store="the store", seconds=0.0):
        found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, machine.marks("web")) == ("done", 1)


async def test_just_before_the_restart_the_lease_must_last(machine: Machine) -> None:
    """What runs before may take long (I3)."""
    before = machine.folder / "before"
    one = strategy(machine, timing={"before": ["/bin/sh", "-c", f"touch {before}"]})
    found = await attempted(one, ITEM, ground(holds=lambda: not before.exists()), 0.0)
    assert (found.word, found.acted, found.verified, machine.marks("web")) == ("retry", False, None, 0)
    assert found.detail == "nothing was restarted: its lease was about to end"


@dataclass
class Kind:
    """A third party's kind, which sees by itself whether what it restarts runs."""

    outcome: Any = Done("did it")  # noqa: RUF009 -- it is frozen
    sees: Any = None
    asked: int = 0
    Options = SimpleNamespace
    ON_HOST = False
    VERIFIES = True

    def plan(self, options: Any) -> Plan:
        return Plan("does it")

    async def restart(self, options: Any, item: Item, parts: Any, timeout: float) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def verify(self, options: Any, parts: Any, timeout: float) -> Any:
        self.asked += 1
        if isinstance(self.sees, Exception):
            raise self.sees
        return self.sees


@pytest.fixture
def third_party(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> tuple[Kind, Strategy]:
    """Give a kind that is installed, and a strategy of it without a probe."""
    monkeypatch.setattr(attempts, "POLL", 20.0)  # the last look gets so long, and nothing waits for it
    kind = Kind()
    point = SimpleNamespace(name="theirs", load=lambda: kind)
    monkeypatch.setattr(kinds, "entry_points", lambda **asked: [point] if asked.get("name") == "theirs" else [])
    one = replace(strategy(machine), kind="theirs", options=None, on_host=False, probe=None, verify=None)
    return kind, one


UP, DOWN = Reading("up", "it runs", 0.0), Reading("down", "it is gone", 0.0)
SEEN = [
    pytest.param(UP, None, "done", "restarted and verified: it is up: it runs", id="up, and no probe"),
    pytest.param(DOWN, None, "unverified", "restarted, but it is down: it is gone", id="down"),
    pytest.param(Reading("unknown", "no right", 0.0), None, "unverified", "but it is unknown: no right", id="unknown"),
    pytest.param(UP, "/bin/true", "done", "restarted and verified: it is up: exit status 0", id="both"),
    pytest.param(UP, "/bin/false", "unverified", "restarted, but it is down: exit status 1", id="the probe says no"),
    pytest.param(DOWN, "/bin/true", "unverified", "but it is down: it is gone", id="the kind says no"),
    pytest.param(ValueError("a mistake"), "/bin/true", "unverified", "ValueError", id="it breaks"),
    pytest.param("up", "/bin/true", "unverified", "", id="it says nothing that is a reading"),
]


@pytest.mark.parametrize(("sees", "probe", "word", "detail"), SEEN)
async def test_what_the_kind_sees_and_the_probe_says(
    third_party: tuple[Kind, Strategy], machine: Machine, sees: Any, probe: str | None, word: str, detail: str
) -> None:
    """Both must find it well; what nobody knows is not success (I7)."""
    kind, one = third_party
    one = replace(one, timing=replace(one.timing, verify_timeout=20.0 if word == "done" else 0.1))
    kind.sees = sees
    if probe is not None:
        verify = {"kind": "command", "argv": [probe]}
        one = replace(one, verify=strategy(machine, timing={"verify": verify}).verify)
    found = await attempted(one, ITEM, ground(), 0.0)
    assert found.word == word
    assert detail in found.detail
    assert kind.asked >= 1


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Retry("busy"), "retry"),
        (GiveUp("no such unit"), "give_up"),
        (RuntimeError("a mistake"), "retry"),
        ("done", "give_up"),
    ],
)
async def test_whatever_a_kind_does_the_attempt_ends(
    third_party: tuple[Kind, Strategy], outcome: Any, word: str
) -> None:
    kind, one = third_party
    kind.outcome, kind.sees = outcome, UP
    found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.verified, kind.asked) == (word, False, 0)
    assert found.detail


async def test_a_kind_that_is_not_installed_is_given_up(machine: Machine) -> None:
    one = replace(strategy(machine), kind="theirs")
    found = await attempted(one, ITEM, ground(), 0.0)
    assert (found.word, found.verified) == ("give_up", False)
    assert "theirs" in found.detail


async def test_nor_does_it_raise_where_only_the_look_is_wanted(machine: Machine) -> None:
    """After a takeover by a server on which the kind is not installed."""
    one = replace(strategy(machine), kind="theirs")
    assert (await judged(one, ground(), 0.0)).verified is False


async def test_where_nobody_can_say_how_it_is(machine: Machine) -> None:
    """A person learns what to write; it is not verified."""
    one = replace(strategy(machine), verify=None)
    seen = await looked_at(one, ground(), 1.0)
    assert (seen.state, seen.reason) == ("unknown", "nobody can say how it is: give `verify`, or a `probe`")


def test_an_attempt_is_no_success_unless_that_was_seen() -> None:
    assert Attempt("done", "it ended").verified is False
