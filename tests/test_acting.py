"""A run of an action is always an outcome, in time, without a secret; only a cancellation goes through."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from exporter import acting, kinds
from exporter.acting import Parts
from exporter.clock import SystemClock
from exporter.guard import Guard
from exporter.handover import MARGIN, OUTPUT
from exporter.logs import REDACTION
from exporter.model import Done, GiveUp, Item, Outcome, Plan, Retry
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from collections.abc import Callable

ITEM = Item(1, "q", "k")
CANARY = "canary-5ecret"
PARTS = Parts(SystemClock())


@dataclass(frozen=True)
class Options:
    """The options of a third party's kind: what it does."""

    act: Any = None
    plan: Any = None


@pytest.fixture(autouse=True)
def _theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a kind `moons` that does what its options say, and one that cannot be imported."""
    theirs = ModuleType("their_action")

    async def act(options: Options, item: Item, parts: Parts, timeout: float) -> Any:
        found = options.act() if callable(options.act) else options.act
        return await found if asyncio.iscoroutine(found) else found

    theirs.act = act  # type: ignore[attr-defined]
    theirs.plan = lambda options, item: options.plan() if callable(options.plan) else options.plan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_action", theirs)
    points = (
        EntryPoint("moons", "their_action", "watchbridge.actions"),
        EntryPoint("broken", "no_such_module_at_all", "watchbridge.actions"),
        EntryPoint("http", "their_action", "watchbridge.actions"),
    )
    monkeypatch.setattr(
        kinds, "entry_points", lambda **asked: [one for one in points if asked.get("name") in {None, one.name}]
    )
    monkeypatch.setattr(acting, "_told", set())


async def run(act: Any, timeout: float = 5.0) -> Outcome:
    """Run the third party's kind."""
    outcome, seconds = await acting.run("moons", Options(act), ITEM, PARTS, timeout)
    assert 0 <= seconds < 60
    return outcome


def _raise(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


@pytest.mark.parametrize("outcome", [Done("it is"), Retry("not yet", "said", 5.0), GiveUp("never", "said")])
async def test_an_outcome_comes_back_as_it_is(outcome: Outcome) -> None:
    assert await run(outcome) == outcome


@pytest.mark.parametrize(
    "error", [ValueError(CANARY), OSError(28, CANARY), TimeoutError(CANARY), RuntimeError(CANARY), AssertionError()]
)
async def test_an_exception_is_another_attempt(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is told by its type; its text may hold anything, and stands in the log alone, once."""
    for _ in range(3):
        outcome = await run(_raise(error))
        sentence = f"the action broke off with {type(error).__name__}: its log line has the place"
        assert outcome == Retry(sentence)
    [record] = [one for one in caplog.records if one.name == "exporter.acting"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


@pytest.mark.parametrize("found", [None, True, "done", Done])
async def test_what_is_no_outcome_is_given_up(found: Any) -> None:
    """Whether it was done, nobody knows."""
    outcome = await run(lambda: found if found is not Done else asyncio.sleep(0, Done))
    assert isinstance(outcome, GiveUp)
    assert outcome.detail.startswith("the action broke off with TypeError")


async def test_an_unknown_kind_is_given_up() -> None:
    """The configuration was checked, but what was installed may be gone."""
    outcome, seconds = await acting.run("comand", None, ITEM, PARTS, 5.0)
    assert isinstance(outcome, GiveUp)
    assert "did you mean 'command'?" in outcome.detail
    assert "did you mean 'command'?" in str(acting.plan("comand", None, ITEM))
    assert seconds < 5


async def test_a_kind_that_cannot_be_imported_is_another_attempt() -> None:
    outcome, _ = await acting.run("broken", None, ITEM, PARTS, 5.0)
    assert outcome == Retry("the action broke off with ModuleNotFoundError: its log line has the place")
    assert acting.plan("broken", None, ITEM) == outcome.detail


def test_ours_win_over_a_third_partys() -> None:
    assert kinds.load("actions", "http").__name__ == "exporter.actions.http"


async def test_a_kind_that_is_late_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "GRACE", 0.05)
    ended = asyncio.Event()

    async def slow() -> Outcome:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return Done("at last")

    assert await run(slow, 0.1) == Retry("did not end within 0.1 s and was cancelled")
    assert ended.is_set()


async def test_a_kind_that_takes_no_notice_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place is free all the same; it is not lost sight of either."""
    monkeypatch.setattr(acting, "GRACE", 0.05)
    released = asyncio.Event()

    async def deaf() -> Outcome:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        raise RuntimeError

    assert await run(deaf, 0.1) == Retry("did not end within 0.1 s and was cancelled")
    [task] = acting._running
    released.set()
    await asyncio.wait({task}, timeout=5)
    assert not acting._running


async def test_one_that_ends_in_its_grace_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was cancelled, and had done it."""
    monkeypatch.setattr(acting, "GRACE", 0.05)

    async def just_done() -> Outcome:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return Done("just in time")
        raise AssertionError

    assert await run(just_done, 0.05) == Done("just in time")


async def test_a_kind_that_cancels_itself_is_another_attempt() -> None:
    """That is no cancellation of ours."""
    assert isinstance(await run(_raise(asyncio.CancelledError())), Retry)


async def test_a_cancellation_goes_through_once_the_kind_has_ended() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> Outcome:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.set()
        return Done("never")

    task = asyncio.create_task(run(slow))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


SHOWN = [
    pytest.param(f"it said {CANARY}.", "it said <secret>.", id="secret"),
    pytest.param("a\nb\tc\x1b[31m\u202e\ud800", "a b c [31m  ", id="controls"),
    pytest.param("x" * 5000, "x" * 1999 + "…", id="long"),
    pytest.param("x" * 1995 + CANARY, "x" * 1995 + "<sec…", id="a secret at the cut"),
]


@pytest.mark.parametrize(("detail", "shown"), SHOWN)
async def test_a_detail_is_one_clean_line(detail: str, shown: str) -> None:
    REDACTION.learn([CANARY])
    for kind in (Done, Retry, GiveUp):
        assert await run(kind(detail)) == kind(shown)


OUTPUTS = [
    pytest.param(f"a\n\t{CANARY}\n", "a\n\t<secret>\n", id="secret"),
    pytest.param("a\x1b[31m\r\n\0\u202e", "a\ufffd[31m\ufffd\n\ufffd\ufffd", id="controls"),
    pytest.param("\ud800é💥", "\ufffdé💥", id="letters"),
    pytest.param("x" * OUTPUT, "x" * OUTPUT, id="just short enough"),
    pytest.param("x" * (OUTPUT + 2 * MARGIN), "x" * OUTPUT, id="long"),
]


@pytest.mark.parametrize(("output", "shown"), OUTPUTS)
async def test_an_output_is_clean_and_bounded(output: str, shown: str) -> None:
    REDACTION.learn([CANARY])
    assert await run(Retry("x", output)) == Retry("x", shown)


@pytest.mark.parametrize("lead", range(0, 40, 3))
async def test_a_secret_at_the_end_of_what_is_kept_is_not_shown_in_part(lead: int) -> None:
    """Neither where we cut nor where the kind did."""
    REDACTION.learn([CANARY])
    text = ("y" * lead + (CANARY + "z" * 5) * OUTPUT)[: OUTPUT + MARGIN]
    outcome = await run(Done("x", text))
    assert len(outcome.output.encode()) <= OUTPUT
    assert "canar" not in outcome.output
    edge = "x" * (OUTPUT - lead) + CANARY + "x" * MARGIN
    assert "cana" not in (await run(Done("x", edge))).output


async def test_many_bytes_of_a_letter_are_not_cut_in_two() -> None:
    outcome = await run(Done("x", "é💥" * OUTPUT))
    assert len(outcome.output.encode()) <= OUTPUT
    assert set(outcome.output) == {"é", "💥"}


AFTER = [(0.0, 0.0), (5, 5.0), (1e9, 86_400.0), (-1.0, None), (math.nan, None), (math.inf, None), ("soon", None)]


@pytest.mark.parametrize(("asked", "after"), AFTER)
async def test_a_pause_is_a_time(asked: Any, after: float | None) -> None:
    assert await run(Retry("x", after=asked)) == Retry("x", after=after)


def test_a_plan_holds_no_secret_and_is_json() -> None:
    """Whatever a third party's kind puts into it."""
    REDACTION.learn([CANARY])
    details = {"a": [CANARY, 1, 1.5, None, True], CANARY: {"b": (CANARY,)}, "c": object}
    found = acting.plan("moons", Options(plan=Plan(f"do\n{CANARY}", details)), ITEM)
    assert isinstance(found, Plan)
    assert found.sentence == "do <secret>"
    assert CANARY not in json.dumps(found.details)
    assert found.details["a"] == ["<secret>", 1, 1.5, None, True]


def test_a_plan_that_is_deep_ends() -> None:
    deep: dict[str, Any] = {}
    deep["a"] = deep
    found = acting.plan("moons", Options(plan=Plan("x", deep)), ITEM)
    assert isinstance(found, Plan)
    assert json.dumps(found.details)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (_raise(PlaceholderError("there is no 'x'")), "there is no 'x'"),
        (_raise(ValueError(CANARY)), "the action broke off with ValueError: its log line has the place"),
        (None, "the action broke off with TypeError: its log line has the place"),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(plan: Any, sentence: str) -> None:
    assert acting.plan("moons", Options(plan=plan), ITEM) == sentence


def test_the_default_parts_connect_to_what_probes_may() -> None:
    """Never to where clouds give credentials away."""
    for address, may in (("127.0.0.1", True), ("10.0.0.1", True), ("169.254.169.254", False), ("fe80::1", False)):
        assert PARTS.permits(address) is Guard.configured(address) is may
