"""A run of a probe is always a reading, whatever its kind does."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from exporter import kinds, probing
from exporter.clock import SystemClock
from exporter.logs import REDACTION
from exporter.model import Component, Family, Reading

UP = Reading("up", "fine", 0.5)
SHOWN = Family("probe_made_up", "gauge", "A family of a made-up kind")


class Kind:
    """A third party's kind: an installed entry point leads to it as to any other."""

    Options = dict
    FAMILIES = (SHOWN,)
    SLOW_AFTER: float | None = 2.0

    def __init__(self, answer=UP):
        self.answer = answer
        self.ended = False

    async def probe(self, options, parts, timeout):
        try:
            return await self.answer() if callable(self.answer) else self.answer
        finally:
            self.ended = True

    def samples(self, reading):
        return {SHOWN: {(): reading.duration}}


@pytest.fixture
def parts():
    return probing.Parts(wire=None, databases={}, clock=SystemClock(), permits=lambda address: address == "10.0.0.1")


@pytest.fixture
def installed(monkeypatch):
    """Install a kind under the word `made-up` for the time of a test."""
    known = kinds.entry_points

    def install(kind):
        def points(**asked):
            if asked.get("group") == "watchbridge.probes" and asked.get("name") in (None, "made-up"):
                point = EntryPoint("made-up", "made_up", "watchbridge.probes")
                monkeypatch.setattr(EntryPoint, "load", lambda _: kind)
                return [point]
            return known(**asked)

        monkeypatch.setattr(kinds, "entry_points", points)
        probing.kind.cache_clear()
        probing._told.clear()
        return kind

    yield install
    probing.kind.cache_clear()


async def test_what_a_kind_found_is_handed_on(installed, parts):
    """And what a probe may use answers as it was made."""
    installed(Kind())
    assert await probing.run("made-up", {}, parts, 5.0) == UP
    assert parts.allows("10.0.0.1")
    assert not parts.allows("10.0.0.2")
    parts.explain("nobody hears this")


@pytest.mark.parametrize(
    ("own", "given", "state"),
    [
        pytest.param(0.4, None, "degraded", id="the kind's own time"),
        pytest.param(0.6, None, "up", id="quick enough"),
        pytest.param(None, None, "up", id="time means nothing to this kind"),
        pytest.param(None, 0.4, "degraded", id="the configuration's time"),
        pytest.param(0.4, 0.6, "up", id="the configuration's time before the kind's"),
    ],
)
async def test_a_slow_run_is_degraded(installed, parts, own, given, state):
    """Slowness is judged in one place for all kinds."""
    installed(Kind()).SLOW_AFTER = own
    reading = await probing.run("made-up", {}, parts, 5.0, given)
    assert reading.state == state
    assert reading.cause == ("slow" if state == "degraded" else "")


class HiddenError(Exception):
    """What a kind of somebody else may raise."""


def _raise():
    raise HiddenError("password=hunter2")


async def _broken():
    _raise()


async def _late_by_itself():
    raise TimeoutError


@pytest.mark.parametrize(
    ("answer", "name"),
    [(_broken, "HiddenError"), (_late_by_itself, "TimeoutError"), ("up", "TypeError"), (None, "TypeError")],
    ids=["raises", "raises a timeout of its own", "answers a text", "answers nothing"],
)
async def test_a_kind_that_breaks_off_makes_the_state_unknown_and_is_logged_once(
    installed, parts, answer, name, caplog
):
    """What it says may hold anything, so the reading names only its class."""
    installed(Kind(answer))
    with caplog.at_level(logging.ERROR):
        readings = [await probing.run("made-up", {}, parts, 5.0) for _ in range(3)]
    for reading in readings:
        assert (reading.state, reading.cause, reading.success) == ("unknown", "unexpected", False)
        assert name in reading.reason
        assert "hunter2" not in reading.reason
    assert len(caplog.records) == 1
    assert probing.samples("made-up", readings[0]) == {}


async def test_a_kind_that_forgets_its_deadline_is_ended(installed, parts):
    """A second after it, as the last resort."""
    kind = installed(Kind(asyncio.Event().wait))
    reading = await probing.run("made-up", {}, parts, 0.05)
    assert (reading.state, reading.cause) == ("down", "timeout")
    assert reading.duration >= 0.05 + probing.GRACE
    assert kind.ended


async def test_a_kind_that_keeps_its_deadline_has_no_watch_over_it(installed, parts, monkeypatch):
    """Ten thousand runs a minute need no timer each."""
    kind = installed(Kind())
    kind.KEEPS_DEADLINE = True
    monkeypatch.setattr(probing.asyncio, "timeout", lambda _: pytest.fail("a timer was made"))
    assert await probing.run("made-up", {}, parts, 5.0) == UP


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_cancellation_goes_through(installed, parts, keeps):
    """The program ends, or the service is gone: that is no reading."""
    kind = installed(Kind(asyncio.Event().wait))
    kind.KEEPS_DEADLINE = keeps
    running = asyncio.create_task(probing.run("made-up", {}, parts, 60.0))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert kind.ended


async def test_an_unknown_kind_is_a_reading_too(parts):
    """A service of the store may name a kind whose package is gone."""
    reading = await probing.run("htp", {}, parts, 5.0)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "did you mean 'http'" in reading.reason


def test_samples_that_cannot_be_made_are_none(installed):
    """`/probe` still says whether the probe was a success."""
    kind = installed(Kind())
    assert probing.samples("made-up", UP) == {SHOWN: {(): 0.5}}
    kind.samples = SimpleNamespace()
    assert probing.samples("made-up", UP) == {}


async def test_what_a_peer_says_holds_no_secret_and_nothing_that_breaks_a_store(installed, parts):
    """A peer may send back what it was sent, and a kind of somebody else may take over any text."""
    said = "the body says hunter2-hunter2\x00\ud800" + "x" * 10_000
    components = (Component("Bearer hunter2-hunter2", "down"), Component("db", "up"))
    installed(Kind(Reading("down", said, 0.1, "health", components=components)))
    REDACTION.learn({"hunter2-hunter2"}, "this test")
    try:
        reading = await probing.run("made-up", {}, parts, 1.0)
    finally:
        REDACTION.learn((), "this test")
    assert reading.reason.startswith("the body says <secret>\ufffd\ufffdxxx")
    assert len(reading.reason) <= 2000
    assert reading.components == (Component("Bearer <secret>", "down"), Component("db", "up"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
async def test_a_system_without_means_says_nothing_of_the_service(monkeypatch, caplog, number):
    """No descriptor is left, no memory: that is no mistake of the kind, and no outage of what it looks at."""

    async def probe(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(probing, "kind", lambda _: SimpleNamespace(probe=probe, SLOW_AFTER=None, KEEPS_DEADLINE=True))
    reading = await probing.run("any", None, None, 1.0)
    assert (reading.state, reading.cause) == ("unknown", "system")
    assert os.strerror(number) in reading.reason
    assert not caplog.records
