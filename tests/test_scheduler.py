"""Runs begin when they are due, each service once at a time, and those that hang cost the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.watched import FakeClock, service

from exporter.schedule import Every
from exporter.scheduler import LAG_BUCKETS, Lag, Scheduler

if TYPE_CHECKING:
    from exporter.services.service import Service


class Runs:
    """Probes that end when the test says so, and that look for an overlap of a service with itself."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.seen: list[Service] = []
        self.under_way: dict[int, asyncio.Future[bool]] = {}
        self.most = 0
        self.cancelled: list[int] = []
        self.any = asyncio.Event()

    async def __call__(self, watched: Service) -> bool:
        assert watched.id not in self.under_way, "a service overlaps itself"
        self.begun.append(watched.id)
        self.seen.append(watched)
        self.under_way[watched.id] = asyncio.get_running_loop().create_future()
        self.any.set()
        self.most = max(self.most, len(self.under_way))
        try:
            return await self.under_way[watched.id]
        except asyncio.CancelledError:
            self.cancelled.append(watched.id)
            raise
        finally:
            del self.under_way[watched.id]

    async def end(self, *identities: int, hung: bool = False, error: Exception | None = None) -> None:
        """End runs, and let who waits for their places begin."""
        for identity in identities:
            if error is not None:
                self.under_way[identity].set_exception(error)
            else:
                self.under_way[identity].set_result(hung)
        await settled()


async def settled() -> None:
    """Let tasks that can go on do so: a run ends, its place is given on, the next begins."""
    for _ in range(10):
        await asyncio.sleep(0)


class Bench:
    """A scheduler, its clock, and its runs."""

    def __init__(self, count: int, concurrency: int, seconds: float = 10.0) -> None:
        self.clock = FakeClock()
        self.runs = Runs()
        self.scheduler = Scheduler(self.runs, self.clock, concurrency)
        self.services = [service(number, pace=Every(seconds)) for number in range(1, count + 1)]
        self.scheduler.adopt(self.services)

    async def pass_(self, seconds: float) -> None:
        """Let time pass, and what is due begin."""
        self.clock.pass_(seconds)
        self.scheduler.begin_due()
        await settled()


async def test_runs_begin_when_due_and_no_service_overlaps_itself() -> None:
    """A run that is due while the one before goes on is left out and counted, and the next one comes as usual."""
    bench = Bench(2, 10)
    await bench.pass_(0.1)
    assert bench.runs.begun == [1, 2]
    assert bench.scheduler.running == 2
    await bench.runs.end(1)
    await bench.pass_(11.0)
    assert bench.runs.begun == [1, 2, 1]
    assert bench.scheduler.busy == 1
    await bench.runs.end(*bench.runs.under_way)
    await bench.pass_(11.0)
    assert sorted(bench.runs.begun) == [1, 1, 1, 2, 2]
    await bench.runs.end(*bench.runs.under_way)
    assert bench.scheduler.running == 0


async def test_a_run_that_waits_for_a_place_is_busy_too() -> None:
    bench = Bench(3, 2)
    await bench.pass_(1.0)
    assert bench.runs.begun == [1], "half of two places are for those that hang"
    await bench.pass_(10.5)
    assert bench.scheduler.busy == 3
    assert bench.runs.begun == [1]
    await bench.runs.end(*bench.runs.under_way)
    await bench.runs.end(*bench.runs.under_way)
    await bench.runs.end(*bench.runs.under_way)
    assert bench.runs.begun == [1, 2, 3]


async def test_at_most_so_many_run_at_once_first_come_first_served() -> None:
    bench = Bench(50, 8)
    await bench.pass_(1.0)
    for _ in range(100):
        if bench.runs.under_way:
            await bench.runs.end(next(iter(bench.runs.under_way)))
    assert bench.runs.begun == list(range(1, 51))
    assert bench.runs.most == 4
    assert bench.scheduler.running == 0


async def test_those_that_hang_share_half_of_the_places() -> None:
    """However many hang, the others find a place at once; one that answers again is no suspect any more."""
    bench = Bench(100, 20, seconds=60.0)
    for round_ in range(20):
        await bench.pass_(1.0)
        await bench.runs.end(*[one for one in bench.runs.under_way if one <= 90], hung=True)
        await bench.runs.end(*[one for one in bench.runs.under_way if one > 90])
        assert round_ < 19 or bench.scheduler.running == 0
    assert len(set(bench.runs.begun)) == 100
    bench.runs.begun.clear()
    for _ in range(75):  # a minute and more: each of them is due, and nothing of what hangs ends
        await bench.pass_(1.0)
        await bench.runs.end(*[one for one in bench.runs.under_way if one > 90])
        assert len(bench.runs.under_way) <= 10
    assert {one for one in bench.runs.begun if one > 90} == set(range(91, 101)), "no good one waited"
    assert bench.runs.most <= 20
    bad = [one for one in bench.runs.begun if one <= 90]
    assert len(bad) == 10
    await bench.runs.end(*bad)  # they answer: the next ones have their places
    assert len(bench.runs.under_way) == 10
    assert not set(bad) & bench.scheduler._suspects
    await bench.scheduler.drain(0)


async def test_a_run_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(3, 4)
    await bench.pass_(1.0)
    assert bench.runs.begun == [1, 2]
    await bench.runs.end(1, error=RuntimeError("unforeseen"))
    await bench.runs.end(2, error=ValueError("unforeseen"))
    assert bench.runs.begun == [1, 2, 3]
    await bench.runs.end(*bench.runs.under_way)
    await bench.pass_(11.0)
    assert sorted(bench.runs.begun) == [1, 1, 2, 2, 3]
    await bench.runs.end(*bench.runs.under_way)
    await bench.runs.end(*bench.runs.under_way)
    assert bench.scheduler.running == 0
    assert [record.message for record in caplog.records] == ["a probe broke"] * 2


async def test_a_run_that_waited_has_the_options_of_now() -> None:
    """What changed while it waited for a place is what runs; what is gone does not run, and keeps no place."""
    bench = Bench(4, 2)
    await bench.pass_(1.0)
    assert bench.runs.begun == [1]
    bench.scheduler.adopt([bench.services[0], service(3, pace=Every(10.0), timeout=77.0), bench.services[3]])
    await bench.runs.end(*bench.runs.under_way)
    assert bench.runs.begun == [1, 3]
    assert bench.runs.seen[-1].timeout == 77.0
    await bench.runs.end(*bench.runs.under_way)
    assert bench.runs.begun == [1, 3, 4]
    await bench.runs.end(*bench.runs.under_way)
    bench.scheduler.adopt(bench.services)
    await bench.pass_(1.0)
    assert 2 in bench.runs.begun, "one that comes back is run again"
    await bench.scheduler.drain(0)


async def test_places_can_change_while_runs_go_on() -> None:
    bench = Bench(20, 20)
    await bench.pass_(1.0)
    assert len(bench.runs.under_way) == 10
    bench.scheduler.resize(4)
    await bench.runs.end(*range(1, 9))
    assert len(bench.runs.under_way) == 2
    bench.scheduler.resize(40)
    await bench.runs.end(9)
    assert len(bench.runs.under_way) == 11
    await bench.runs.end(*bench.runs.under_way)
    assert sorted(bench.runs.begun) == list(range(1, 21))


async def test_draining_lets_runs_end_and_begins_none() -> None:
    bench = Bench(5, 4)
    await bench.pass_(1.0)
    draining = asyncio.create_task(bench.scheduler.drain(30.0))
    await settled()
    assert bench.runs.begun == [1, 2]
    await bench.runs.end(*bench.runs.under_way)
    await asyncio.wait_for(draining, 5)
    await bench.pass_(100.0)
    assert bench.runs.begun == [1, 2]
    assert bench.runs.cancelled == []
    assert bench.scheduler.running == 0


async def test_draining_cuts_off_what_does_not_end() -> None:
    bench = Bench(2, 4)
    await bench.pass_(1.0)
    await asyncio.wait_for(bench.scheduler.drain(0), 5)
    assert sorted(bench.runs.cancelled) == [1, 2]
    assert bench.scheduler.running == 0


async def test_late_runs_are_counted_by_how_late_they_are() -> None:
    bench = Bench(2, 2)
    await bench.pass_(0.01)
    await bench.pass_(4.0)
    await bench.runs.end(*bench.runs.under_way)  # the second one had to wait for its place
    lag = bench.scheduler.lag
    assert sum(lag.counts) == 2
    assert lag.counts[0] == 1
    assert lag.counts[LAG_BUCKETS.index(5.0)] == 1
    assert lag.sum == pytest.approx(0.01 + 4.005, abs=0.002)
    await bench.pass_(100.0)
    assert bench.scheduler.missed >= 9
    await bench.scheduler.drain(0)


@given(st.lists(st.floats(0, 200), max_size=50))
def test_a_lag_is_in_the_first_bucket_that_holds_it(seconds: list[float]) -> None:
    lag = Lag()
    for one in seconds:
        lag.observe(one)
    cumulated = [sum(lag.counts[: place + 1]) for place in range(len(lag.counts))]
    assert cumulated == [sum(one <= bound for one in seconds) for bound in (*LAG_BUCKETS, float("inf"))]
    assert lag.sum == pytest.approx(sum(seconds))


async def test_it_serves_until_cancelled_and_wakes_for_what_is_new() -> None:
    """On a real clock: services that are adopted while nothing was due begin at once."""
    bench = Bench(0, 4)
    serving = asyncio.create_task(bench.scheduler.serve())
    await settled()
    bench.scheduler.adopt([service(1)])
    await asyncio.wait_for(bench.runs.any.wait(), 5)
    await bench.runs.end(*bench.runs.under_way)
    assert bench.scheduler.next_run(1) is not None
    assert bench.scheduler.next_run(2) is None
    assert 59.9 <= (bench.scheduler.next_run(1) or 0) - bench.clock.time() <= 61.1
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    assert serving.cancelled()


async def test_the_loop_outlives_a_clock_that_breaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong in beginning runs, the loop goes on and says so."""
    bench = Bench(1, 4)
    monkeypatch.setattr("exporter.scheduler.LOOK_EVERY", 0.01)
    good, broken = bench.clock.time, []

    def time() -> float:
        if len(broken) < 3:
            broken.append(1)
            raise OSError("no clock")
        return good()

    monkeypatch.setattr(bench.clock, "time", time)
    serving = asyncio.create_task(bench.scheduler.serve())
    await asyncio.wait_for(bench.runs.any.wait(), 5)
    assert len(broken) == 3
    assert [record.message for record in caplog.records] == ["runs could not be begun"] * 3
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    await bench.scheduler.drain(0)
