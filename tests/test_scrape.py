"""A scrape answers inside its deadline with what is known, and one bad source costs only its own series."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import scrape as scraping
from exporter.cap import OTHER, capped
from exporter.config.options import Duration
from exporter.errors import DatabaseError
from exporter.model import Family, Samples, Source
from exporter.scrape import DROPPED, DURATION, LAST_SUCCESS, SUCCESS, Scrape, ScrapeOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

THINGS = Family("watchbridge_things", "gauge", "Things.", ("source", "kind"), data_label="kind")
FIRST = Family("watchbridge_first_timestamp_seconds", "gauge", "First.", ("source", "kind"), "kind", "min")


class HandClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    def monotonic(self) -> float:
        return self.now


class Reads:
    """A source that counts its reads and does what the test says."""

    def __init__(self, act: Callable[[], Awaitable[Samples]] | None = None) -> None:
        self.count = 0
        self.act = act

    async def __call__(self) -> Samples:
        self.count += 1
        return await self.act() if self.act else {THINGS: {("a", "x"): float(self.count)}}


def scraper(*sources: Source, clock: HandClock | None = None, **options: object) -> Scrape:
    return Scrape(sources, replace(ScrapeOptions(), **options), clock or HandClock())


def value(samples: tuple[Samples, ...], family: Family, *labels: str) -> float | None:
    found = [source[family][labels] for source in samples if labels in source.get(family, {})]
    return found[-1] if found else None


async def refuse() -> Samples:
    raise DatabaseError(database="registry", reason="it is upside down")


async def hang() -> Samples:
    await asyncio.Event().wait()
    raise AssertionError


async def test_each_source_has_success_duration_and_last_success() -> None:
    """What could be read says so, at the time of the clock."""
    clock = HandClock()
    found = await scraper(Source("things", "a", Reads()), clock=clock).collect(None, 1.0)
    assert value(found, THINGS, "a", "x") == 1.0
    assert value(found, SUCCESS, "things", "a") == 1.0
    assert value(found, DURATION, "things", "a") == 0.0
    assert value(found, LAST_SUCCESS, "things", "a") == clock.time()
    assert value(found, DROPPED, "things", "a") == 0.0


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(refuse, id="an error of ours"),
        pytest.param(hang, id="no answer"),
        pytest.param(Reads(lambda: (_ for _ in ()).throw(ZeroDivisionError)), id="a bug of its own"),
        pytest.param(Reads(lambda: asyncio.sleep(0, {THINGS: {("b",): "nonsense"}})), id="samples of the wrong shape"),
    ],
)
async def test_a_broken_source_costs_only_its_own_series(broken: Callable[[], Awaitable[Samples]]) -> None:
    """The others are there; its own are absent, its success is 0 and its last success is unknown."""
    scrape = scraper(Source("things", "bad", broken), Source("things", "good", Reads()))
    found = await scrape.collect(None, 0.1)
    assert value(found, SUCCESS, "things", "bad") == 0.0
    assert value(found, LAST_SUCCESS, "things", "bad") is None
    assert value(found, SUCCESS, "things", "good") == 1.0
    assert value(found, THINGS, "a", "x") == 1.0
    await scrape.close()


async def test_what_was_read_before_vanishes_when_the_read_fails() -> None:
    """Old counts are not shown as if they were new; only the time of the last success stays."""
    clock = HandClock()
    reads = Reads()
    scrape = scraper(Source("things", "a", reads), clock=clock)
    await scrape.collect(None, 1.0)
    before = clock.time()
    clock.now += 60
    reads.act = refuse
    found = await scrape.collect(None, 1.0)
    assert value(found, THINGS, "a", "x") is None
    assert value(found, SUCCESS, "things", "a") == 0.0
    assert value(found, LAST_SUCCESS, "things", "a") == before


async def test_a_scrape_answers_at_its_deadline() -> None:
    """However many sources hang, and however."""

    async def stubborn() -> Samples:
        while True:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue

    loop = asyncio.get_running_loop()
    scrape = scraper(*(Source("things", str(n), hang) for n in range(20)), Source("things", "stubborn", stubborn))
    for _ in range(6):
        begun = loop.time()
        found = await scrape.collect(None, 0.2)
        assert loop.time() - begun < 0.45
        assert value(found, SUCCESS, "things", "stubborn") == 0.0
    outlet = scrape.outlets[-1]
    assert len(outlet._abandoned) == scraping.ABANDONED_LIMIT
    assert "still hang" in str(outlet.failing)
    for task in outlet._abandoned:
        task.get_coro().close()  # type: ignore[union-attr]


async def test_parallel_scrapes_share_one_read() -> None:
    """Two Prometheus at once cost the database one query."""
    gate = asyncio.Event()

    async def wait() -> Samples:
        await gate.wait()
        return {THINGS: {("a", "x"): 7.0}}

    reads = Reads(wait)
    scrape = scraper(Source("things", "a", reads))
    answers = [asyncio.create_task(scrape.collect(None, 5.0)) for _ in range(10)]
    await asyncio.sleep(0)
    gate.set()
    found = await asyncio.gather(*answers)
    assert reads.count == 1
    assert [value(one, THINGS, "a", "x") for one in found] == [7.0] * 10


async def test_an_impatient_scrape_does_not_end_the_read_of_a_patient_one() -> None:
    """Each scrape has its own deadline; a read ends when nobody waits for it any more."""
    gate = asyncio.Event()

    async def wait() -> Samples:
        await gate.wait()
        return {THINGS: {("a", "x"): 7.0}}

    reads = Reads(wait)
    scrape = scraper(Source("things", "a", reads))
    patient = asyncio.create_task(scrape.collect(None, 5.0))
    impatient = await scrape.collect(None, 0.05)
    assert value(impatient, SUCCESS, "things", "a") == 0.0
    gate.set()
    assert value(await patient, THINGS, "a", "x") == 7.0
    assert reads.count == 1


@pytest.mark.parametrize(("own", "common"), [(10.0, 0.0), (0.0, 10.0), (10.0, 5.0)])
async def test_close_scrapes_share_a_read_for_min_interval(own: float, common: float) -> None:
    """A source's own interval and the common one: the longer counts; by default every scrape reads."""
    clock = HandClock()
    reads = Reads()
    source = Source("things", "a", reads, min_interval=own)
    scrape = scraper(source, clock=clock, min_interval=Duration(common))
    for later, count in ((0.0, 1), (9.9, 1), (0.1, 2), (9.9, 2)):
        clock.now += later
        found = await scrape.collect(None, 1.0)
        assert (reads.count, value(found, THINGS, "a", "x")) == (count, float(count))


async def test_without_min_interval_every_scrape_reads() -> None:
    """The default is what writing_exporters asks for: synchronous."""
    reads = Reads()
    scrape = scraper(Source("things", "a", reads))
    await scrape.collect(None, 1.0)
    await scrape.collect(None, 1.0)
    assert reads.count == 2


async def test_only_the_named_collectors_are_read() -> None:
    """`collect[]` chooses; what is not chosen is not even asked."""
    things, others = Reads(), Reads()
    scrape = scraper(Source("things", "a", things), Source("others", "b", others))
    found = await scrape.collect(frozenset({"things"}), 1.0)
    assert (things.count, others.count) == (1, 0)
    assert value(found, SUCCESS, "others", "b") is None


async def test_a_failure_is_logged_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Not at every scrape: a database that is down for a night is two lines."""
    reads = Reads(refuse)
    scrape = scraper(Source("things", "a", reads))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await scrape.collect(None, 1.0)
        reads.act = None
        for _ in range(3):
            await scrape.collect(None, 1.0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "upside down" in caplog.records[0].getMessage()


async def test_an_impatient_replica_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Two Prometheus with different timeouts on a slow source: only one of them misses it, and nothing is broken."""

    async def slow() -> Samples:
        await asyncio.sleep(0.05)
        return {}

    scrape = scraper(Source("things", "a", slow))
    with caplog.at_level(logging.INFO):
        await scrape.collect(None, 1.0)
        for _ in range(4):
            await scrape.collect(None, 0.01)
            await scrape.collect(None, 0.01)
            await scrape.collect(None, 1.0)
    assert caplog.records == []


async def test_a_source_that_begins_to_hang_is_logged_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Late scrapes are forgiven for a minute after the last success, no longer."""
    clock = HandClock()
    reads = Reads()
    scrape = scraper(Source("things", "a", reads), clock=clock)
    await scrape.collect(None, 1.0)
    reads.act = hang
    with caplog.at_level(logging.INFO):
        for later, count in ((15, 0), (15, 0), (31, 1), (15, 1)):
            clock.now += later
            await scrape.collect(None, 0.01)
            assert len(caplog.records) == count


async def test_a_source_that_hangs_is_logged_once_whatever_the_timeouts(caplog: pytest.LogCaptureFixture) -> None:
    """The sentences differ, the situation does not."""
    scrape = scraper(Source("things", "a", hang))
    with caplog.at_level(logging.INFO):
        for timeout in (0.01, 0.02, 0.01, 0.02, 0.01):
            await scrape.collect(None, timeout)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_many_samples_are_looked_at_beside_the_loop() -> None:
    """Tens of thousands of label values are normalised and capped in a thread, with the same result."""
    samples: Samples = {THINGS: {("s", f"k{n}\n"): 1.0 for n in range(20_000)}}
    scrape = scraper(Source("things", "s", Reads(lambda: asyncio.sleep(0, samples))), max_series=10)
    found = await scrape.collect(None, 10.0)
    assert value(found, THINGS, "s", OTHER) == 19_990.0
    assert value(found, DROPPED, "things", "s") == 19_990.0


async def test_a_new_configuration_goes_on_counting() -> None:
    """A reload never makes a counter fall or a last success unknown."""
    clock = HandClock()
    many = Reads(lambda: asyncio.sleep(0, {THINGS: {("a", str(n)): 1.0 for n in range(5)}}))
    old = scraper(Source("things", "a", many), clock=clock, max_series=2)
    await old.collect(None, 1.0)
    new = scraper(Source("things", "a", Reads(refuse)), clock=clock)
    new.adopt(old)
    found = await new.collect(None, 1.0)
    assert value(found, DROPPED, "things", "a") == 3.0
    assert value(found, LAST_SUCCESS, "things", "a") == clock.time()


async def test_what_an_earlier_process_knew_is_taken_up() -> None:
    """The last success survives a restart, and what is no longer configured is forgotten."""
    scrape = scraper(Source("things", "a", Reads(refuse)))
    scrape.recall({("things", "a"): 5.0, ("things", "gone"): 6.0})
    found = await scrape.collect(None, 1.0)
    assert value(found, LAST_SUCCESS, "things", "a") == 5.0
    assert scrape.successes() == {("things", "a"): 5.0}


def test_what_is_beyond_the_cap_is_joined_by_the_family() -> None:
    """Sums are summed, the earliest stays the earliest, and the same values are joined in every family."""
    samples: Samples = {
        THINGS: {("s", f"k{n}"): float(n) for n in range(6)},
        FIRST: {("s", "k4"): 40.0, ("s", "k5"): 50.0, ("s", "k0"): 1.0},
    }
    safe, dropped = capped(samples, frozenset({"k5"}), 3)
    assert safe[THINGS] == {("s", "k0"): 0, ("s", "k1"): 1, ("s", "k2"): 2, ("s", "k5"): 5, ("s", OTHER): 7}
    assert safe[FIRST] == {("s", OTHER): 40.0, ("s", "k5"): 50.0, ("s", "k0"): 1.0}
    assert dropped == 2


def test_configured_values_are_never_dropped() -> None:
    """The cap is for what data invents."""
    names = frozenset(f"k{n}" for n in range(50))
    safe, dropped = capped({THINGS: {("s", name): 1.0 for name in names}}, names, 1)
    assert (len(safe[THINGS]), dropped) == (50, 0)


@given(st.dictionaries(st.text(max_size=20), st.integers(0, 1000), max_size=40), st.integers(1, 10))
def test_no_count_is_ever_lost(counts: dict[str, int], limit: int) -> None:
    """Whatever the labels hold, the sum over all series is the sum over all rows, and the cap holds."""
    safe, _ = capped({THINGS: {("s", text): float(count) for text, count in counts.items()}}, frozenset(), limit)
    assert sum(safe[THINGS].values()) == sum(counts.values())
    assert len(safe[THINGS]) <= limit + 1
    for _, text in safe[THINGS]:
        assert text
        text.encode()
