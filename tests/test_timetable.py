"""When each probe is due: on its grid, once, whatever the clocks do."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.watched import NOON, FakeClock, service

from exporter.schedule import Cron, Every
from exporter.services.service import Service, coming
from exporter.timetable import CRON_JITTER, FIRST_RUNS, INTERVAL_JITTER, Due, Timetable

DAY = 86_400.0
FIVE = Cron.parse("*/5 * * * *", "UTC")
DAILY = Cron.parse("0 3 * * *", "UTC")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def adopted(services: list[Service], clock: FakeClock) -> Timetable:
    table = Timetable()
    table.adopt(services, clock.monotonic(), clock.time())
    return table


def due(table: Timetable, clock: FakeClock) -> list[Due]:
    return table.due(clock.monotonic(), clock.time())


def walked(table: Timetable, clock: FakeClock, seconds: float, step: float = 1.0) -> list[tuple[float, Due]]:
    """Return the runs of a time, each with the wall's time at which it was begun."""
    found = []
    for _ in range(int(seconds / step)):
        clock.pass_(step)
        found += [(clock.time(), one) for one in due(table, clock)]
    return found


def test_an_empty_table_is_never_due() -> None:
    clock = FakeClock()
    table = adopted([], clock)
    assert (len(table), table.next_due(), table.next_run(1), due(table, clock)) == (0, None, None, [])


def test_an_interval_begins_at_once_and_stays_on_its_grid() -> None:
    """Each run is due at a point of the grid, or up to the jitter later."""
    clock = FakeClock()
    table = adopted([service(pace=Every(60.0))], clock)
    assert table.next_due() == table.next_run(1) == clock.monotonic()
    begun = clock.monotonic()
    times = [one.at for one in due(table, clock)] + [one.at for _, one in walked(table, clock, 3602, 0.5)]
    assert len(times) == 61
    late = [time - begun - 60 * index for index, time in enumerate(times)]
    assert late[0] == 0
    assert all(0 <= one < INTERVAL_JITTER for one in late)
    assert len(set(late)) > 30, "the jitter is another each time"


@pytest.mark.parametrize(("seconds", "most"), [(1.0, 0.02), (10.0, 0.2), (50.0, 1.0), (3600.0, 1.0)])
def test_jitter_is_a_fiftieth_and_a_second_at_most(seconds: float, most: float) -> None:
    clock = FakeClock()
    table = adopted([service(number, pace=Every(seconds)) for number in range(1, 100)], clock)
    clock.pass_(0.5)
    due(table, clock)
    runs = [table.next_run(number) or 0.0 for number in range(1, 100)]
    phases = [(number - 1) / FIRST_RUNS for number in range(1, 100)]
    late = [run - 1000.0 - phase - seconds for run, phase in zip(runs, phases, strict=True)]
    assert all(0 <= one < most + 1e-6 for one in late)
    assert max(late) > most / 2


def test_ten_thousand_are_spread_when_they_begin() -> None:
    """Two hundred a second, the first at once, in the order given, and all within a minute."""
    clock = FakeClock()
    table = adopted([service(number) for number in range(1, 10_001)], clock)
    assert len(table) == 10_000
    clock.pass_(0.0)
    assert len(due(table, clock)) == 1
    per_second = []
    for _ in range(50):
        clock.pass_(1.0)
        per_second.append(len(due(table, clock)))
    assert sum(per_second) == 9_999
    assert all(199 <= count <= 201 for count in per_second)


def test_a_few_are_all_seen_within_a_moment() -> None:
    clock = FakeClock()
    table = adopted([service(number, pace=Every(3600.0)) for number in range(1, 21)], clock)
    clock.pass_(0.1)
    assert [one.service.id for one in due(table, clock)] == list(range(1, 21))


def test_what_was_missed_is_counted_and_run_once() -> None:
    clock = FakeClock()
    table = adopted([service(pace=Every(10.0))], clock)
    assert len(due(table, clock)) == 1
    clock.pass_(10.5)
    assert len(due(table, clock)) == 1
    assert table.missed == 0
    clock.pass_(95.0)  # the runs at 20, 30, … 100 s are due: one of them is begun
    assert len(due(table, clock)) == 1
    assert table.missed == 8
    assert due(table, clock) == []


def test_what_a_pattern_missed_is_counted_and_run_once() -> None:
    clock = FakeClock(at("2026-05-01T10:00:30Z"))
    table = adopted([service(pace=FIVE)], clock)
    clock.pass_(3600.0)  # 10:05, …, 11:00
    assert len(due(table, clock)) == 1
    assert table.missed == 11
    assert len(walked(table, clock, 600)) == 2
    assert table.missed == 11


def test_a_long_pause_of_every_minute_is_looked_through_in_bounds() -> None:
    clock = FakeClock()
    table = adopted([service(number, pace=Cron.parse("* * * * *", "UTC")) for number in range(1, 200)], clock)
    clock.pass_(30 * DAY)
    assert len(due(table, clock)) == 199
    assert table.missed == 199 * 1000


def test_adopting_again_keeps_phases_and_takes_new_options() -> None:
    """A reload that changes no pace moves no run; who has another pace begins anew, who is gone never runs."""
    clock = FakeClock()
    before = [service(1), service(2, pace=FIVE), service(3), service(4)]
    table = adopted(before, clock)
    due(table, clock)
    clock.pass_(20.0)
    due(table, clock)
    times = {number: table.next_run(number) for number in (1, 2, 3, 4)}
    after = [service(1, timeout=9.0), service(2, pace=FIVE), service(3, pace=Every(30.0))]
    table.adopt(after, clock.monotonic(), clock.time())
    assert table.next_run(1) == times[1]
    assert table.next_run(2) == times[2]
    assert table.next_run(3) == clock.monotonic()
    assert table.next_run(4) is None
    assert len(table) == 3
    runs = walked(table, clock, 600)
    assert {one.service.id for _, one in runs} == {1, 2, 3}
    assert all(one.service.timeout == 9.0 for _, one in runs if one.service.id == 1)
    assert sum(one.service.id == 3 for _, one in runs) == 20


def test_reloads_leave_nothing_behind() -> None:
    """Paces that change again and again, and clocks that jump again and again, make no heap of old times."""
    clock = FakeClock()
    table = Timetable()
    for round_ in range(200):
        pace = Every(1000.0 + round_) if round_ % 2 else FIVE
        table.adopt([service(number, pace=pace) for number in range(1, 11)], clock.monotonic(), clock.time())
        clock.set(-5.0 if round_ % 2 else 5.0)
        due(table, clock)
    assert len(table._heap) <= 40


def test_a_pattern_runs_at_its_times_a_little_late_and_always_alike() -> None:
    clock = FakeClock(at("2026-05-01T10:00:30Z"))
    table = adopted([service(number, pace=FIVE) for number in range(1, 31)], clock)
    runs = walked(table, clock, 1800, 0.25)
    assert len(runs) == 30 * 6
    late: dict[int, set[float]] = {}
    for wall, one in runs:
        late.setdefault(one.service.id, set()).add(round(wall % 300, 2))
    assert all(min(found) >= 0 and max(found) <= CRON_JITTER + 0.25 for found in late.values())
    assert all(len(found) == 1 for found in late.values())
    assert len(set().union(*late.values())) > 10


@pytest.mark.parametrize(
    ("zone", "pattern", "begin", "expected"),
    [
        pytest.param(
            "Europe/Bucharest",
            "30 3 * * *",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T04:00:00+03:00", "2026-03-30T03:30:00+03:00"],
            id="the skipped hour",
        ),
        pytest.param(
            "Europe/Bucharest",
            "30 3 * * *",
            "2026-10-24T12:00:00Z",
            ["2026-10-25T03:30:00+03:00", "2026-10-26T03:30:00+02:00"],
            id="the repeated hour",
        ),
        pytest.param(
            "UTC",
            "0 9 * * 1",
            "2026-05-01T00:00:00Z",
            ["2026-05-04T09:00:00+00:00"],
            id="Mondays",
        ),
    ],
)
def test_a_pattern_keeps_its_zone(zone: str, pattern: str, begin: str, expected: list[str]) -> None:
    clock = FakeClock(at(begin))
    table = adopted([service(pace=Cron.parse(pattern, zone))], clock)
    end = at(expected[-1]) + 60
    runs = walked(table, clock, end - at(begin), 10.0)
    found = [datetime.fromtimestamp(wall - wall % 60, ZoneInfo(zone)).isoformat() for wall, _ in runs]
    assert found == expected


@pytest.mark.parametrize("jump", [DAY, -DAY, 400 * DAY, 61.0, -3.0, -299.0])
def test_a_jump_of_the_wall_clock_moves_no_interval_and_replays_no_pattern(jump: float) -> None:
    """The interval goes on; the pattern is looked at anew: nothing at once, then each five minutes of the new time."""
    clock = FakeClock(at("2026-05-01T10:01:00Z"))
    table = adopted([service(1, pace=Every(60.0)), service(2, pace=FIVE)], clock)
    due(table, clock)
    clock.pass_(30.0)
    clock.set(jump)
    assert due(table, clock) == []
    now = clock.time()
    runs = walked(table, clock, 1800.0, 0.5)
    intervals = [one.at - 1000.0 for _, one in runs if one.service.id == 1]
    assert [round(one // 60) for one in intervals] == list(range(1, 31))
    times = [wall for wall, one in runs if one.service.id == 2]
    firing = coming(FIVE, now)[0]
    assert [wall - wall % 300 for wall in times] == [firing + 300 * index for index in range(len(times))]
    assert len(times) == 6
    assert table.missed == 0


def test_small_steps_of_the_clock_bring_no_run_twice() -> None:
    """A clock that is put back by less than a jump, just when the run was begun, does not bring it once more."""
    clock = FakeClock(at("2026-05-02T02:59:00Z"))
    table = adopted([service(number, pace=DAILY) for number in range(1, 50)], clock)
    runs: list[Due] = []
    while len(runs) < 10:
        clock.pass_(0.25)
        runs += due(table, clock)
    clock.set(-1.9)
    assert clock.time() < at("2026-05-02T03:00:00Z"), "the same minute comes again"
    runs += [one for _, one in walked(table, clock, 30.0, 0.5)]
    assert sorted(one.service.id for one in runs) == list(range(1, 50))


def test_many_small_steps_make_a_jump() -> None:
    """Steps of a second each are noticed together: the pattern still runs at the wall's time."""
    clock = FakeClock(at("2026-05-01T23:00:00Z"))
    table = adopted([service(pace=DAILY)], clock)
    for _ in range(100):
        clock.pass_(10.0)
        clock.set(1.0)
        due(table, clock)
    runs = walked(table, clock, 5 * 3600.0)
    (wall,) = [wall for wall, _ in runs]
    assert at("2026-05-02T03:00:00Z") <= wall <= at("2026-05-02T03:00:00Z") + CRON_JITTER + 3


paces = st.one_of(
    st.floats(1.0, 600.0).map(Every),
    st.sampled_from([FIVE, DAILY, Cron.parse("* * * * *", "Europe/Bucharest"), Cron.parse("0,1 * * * *", "UTC")]),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(paces, min_size=1, max_size=8),
    st.lists(st.tuples(st.floats(0.0, 400.0), st.sampled_from([0.0, 0.0, 1.0, -1.5, 3600.0, -DAY])), max_size=60),
)
def test_two_runs_are_never_nearer_than_the_interval_less_its_jitter(
    pace: list[Every | Cron], steps: list[tuple[float, float]]
) -> None:
    """Whatever the pauses and jumps; runs come in the order in which they are due, and none before its time."""
    clock = FakeClock()
    table = adopted([service(number, pace=one) for number, one in enumerate(pace, start=1)], clock)
    times: dict[int, list[float]] = {}
    for passed, jump in steps:
        clock.pass_(passed)
        clock.set(jump)
        found = due(table, clock)
        assert [one.at for one in found] == sorted(one.at for one in found)
        assert all(one.at <= clock.monotonic() for one in found)
        assert len({one.service.id for one in found}) == len(found)
        for one in found:
            times.setdefault(one.service.id, []).append(one.at)
        following = table.next_due()
        assert following is not None
        assert following > clock.monotonic()
    for number, one in enumerate(pace, start=1):
        if isinstance(one, Every):
            least = one.seconds - min(INTERVAL_JITTER, one.seconds / 50) - 1e-6
            assert all(after - before >= least for before, after in pairwise(times.get(number, [])))


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 400 * DAY), st.sampled_from([FIVE, DAILY, Cron.parse("0,1 8-17 * * 1-5", "America/New_York")]))
def test_what_comes_is_what_the_pattern_gives(passed: float, pattern: Cron) -> None:
    """The kept next runs of a minute are those of each moment in it."""
    now = NOON + passed
    runs = pattern.firings(now)
    assert coming(pattern, now) == (next(runs), next(runs), next(runs))


def test_a_zone_that_cannot_be_read_costs_no_service() -> None:
    """While the file of a zone is replaced the pattern is looked at again a minute later."""
    lost = Cron("0 3 * * *", "Nowhere/At_all")
    clock = FakeClock(at("2026-05-01T10:00:30Z"))
    table = adopted([service(pace=lost)], clock)
    runs = walked(table, clock, 300)
    assert len(runs) == 5
    assert service(pace=lost).stale_after(clock.time()) > 0


@pytest.mark.parametrize(
    ("pattern", "now", "interval", "stale"),
    [
        pytest.param("*/5 * * * *", "2026-05-01T10:00:03Z", 300.0, 900.0, id="five minutes"),
        pytest.param("*/5 8-17 * * 1-5", "2026-05-01T17:55:03Z", 223_497.0, 224_097.0, id="until Monday"),
        pytest.param("0,1 * * * *", "2026-05-01T10:01:03Z", 3537.0, 7137.0, id="two an hour"),
    ],
)
def test_an_uneven_pattern_makes_nothing_old_before_its_third_run(
    pattern: str, now: str, interval: float, stale: float
) -> None:
    watched = service(pace=Cron.parse(pattern, "UTC"), timeout=5.0)
    assert watched.interval(at(now)) == interval
    assert watched.stale_after(at(now)) == stale + 5.0
