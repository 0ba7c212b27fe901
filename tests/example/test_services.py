"""The demo's services live: they come, go and are degraded by themselves, and the configuration watches them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter import config, probing
from exporter.clock import SystemClock
from exporter.example import services as example
from exporter.example.services import BROKEN, CYCLES, DEGRADED, HEALTHY, Services, mood
from exporter.services.service import configured
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.config import Configuration


class Hands:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    """Give the clock of the example."""
    return Hands()


@pytest.fixture
async def services(hands: Hands) -> AsyncIterator[Services]:
    """Give the running servers."""
    made = Services(hands)
    await made.start()
    yield made
    await made.close()


def read(services: Services) -> Configuration:
    """Return the configuration as the demo reads it."""
    return config.parse(yaml.safe_dump(services.configuration()), name="demo.yml")


async def states(services: Services) -> dict[str, str]:
    """Return the state of each service by a real probe of it."""
    found = read(services).services
    wire = Wire(clock=SystemClock())
    parts = probing.Parts(wire=wire, databases={}, clock=SystemClock(), permits=lambda _: True)
    try:
        states = {}
        for name, options in found.items():
            one = configured(name, options, 1)
            states[name] = (await probing.run(one.kind, one.options, parts, one.timeout, 60.0)).state
        return states
    finally:
        await wire.close()


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        (0.0, {"website": "up", "shop": "up", "payments": "up", "queue": "up"}),
        (30.0, {"website": "up", "shop": "degraded", "payments": "up", "queue": "up"}),
        (36.0, {"website": "up", "shop": "degraded", "payments": "down", "queue": "up"}),
        (75.0, {"website": "up", "shop": "degraded", "payments": "degraded", "queue": "up"}),
    ],
)
async def test_the_probes_find_what_the_cycle_says(
    services: Services, hands: Hands, elapsed: float, expected: dict[str, str]
) -> None:
    hands.now += elapsed
    assert await states(services) == expected


async def test_the_queue_goes_and_comes_back_on_its_port(
    services: Services, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = asyncio.Event()
    real = asyncio.sleep

    async def quick(_seconds: float) -> None:
        await real(0.01)
        turns.set()

    monkeypatch.setattr(example.asyncio, "sleep", quick)
    changing = asyncio.create_task(services.keep_changing())
    before = services.configuration()["services"]["queue"]["probe"]["address"]
    for elapsed, expected in ((41.0, "down"), (51.0, "up"), (95.0, "down"), (101.0, "up")):
        hands.now = 1000.0 + elapsed
        for _ in range(2):
            turns.clear()
            await asyncio.wait_for(turns.wait(), 5)
        assert (await states(services))["queue"] == expected
        assert services.configuration()["services"]["queue"]["probe"]["address"] == before
    changing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await changing


async def test_the_configuration_is_right_and_shows_a_little_of_everything(services: Services) -> None:
    """It parses without a warning, names every service of the cycle, a parent, full series and a window."""
    found = read(services)
    assert found.warnings == ()
    assert set(found.services) == set(CYCLES)
    assert found.services["website"].depends_on == ("shop", "payments")
    assert {one.series for one in found.services.values()} == {"full", "default"}
    assert len(found.windows) == 1


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n\r\n", id="no words"),
        pytest.param(b"nonsense\r\n\r\n", id="one word"),
        pytest.param(b"GET /\xff\xfe/health HTTP/1.1\r\n\r\n", id="no letters"),
        pytest.param(b"GET " + b"x" * 100_000 + b"\r\n\r\n", id="too long"),
    ],
)
async def test_nonsense_ends_one_connection_alone(
    services: Services, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is sent, the server goes on, and nothing is logged as an error of ours."""
    url = services.configuration()["services"]["website"]["probe"]["url"]
    port = int(url.split(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(request_)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert (await states(services))["website"] == "up"
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_an_unknown_path_is_a_503(services: Services) -> None:
    url = services.configuration()["services"]["website"]["probe"]["url"]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    writer.write(b"GET /other/health HTTP/1.1\r\nHost: here\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["status"] == "unhealthy"


async def test_ports_are_not_known_before_the_start() -> None:
    with pytest.raises(RuntimeError, match=r"start\(\) comes first"):
        Services().configuration()
    await Services().close()


@given(st.sampled_from(sorted(CYCLES)), st.floats(0, 1e9))
def test_a_cycle_repeats(service: str, elapsed: float) -> None:
    length = sum(seconds for _, seconds in CYCLES[service])
    assert mood(service, elapsed) in {HEALTHY, DEGRADED, BROKEN}
    assert mood(service, elapsed % length) == mood(service, elapsed)


@pytest.mark.parametrize("service", sorted(CYCLES))
def test_each_mood_lasts_as_long_as_it_says(service: str) -> None:
    length = sum(seconds for _, seconds in CYCLES[service])
    expected: dict[str, float] = {}
    for word, seconds in CYCLES[service]:
        expected[word] = expected.get(word, 0.0) + seconds
    found: dict[str, float] = {}
    for tenth in range(int(length * 10)):
        word = mood(service, tenth / 10)
        found[word] = found.get(word, 0.0) + 0.1
    assert found == pytest.approx(expected)
