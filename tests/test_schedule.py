"""Cron patterns follow local time over every change of clocks; intervals stay on their grid."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporter.schedule import Cron, Every, jitter, spread

BUCHAREST = "Europe/Bucharest"  # 2026-03-29 03:00 becomes 04:00, 2026-10-25 04:00 becomes 03:00
NEW_YORK = "America/New_York"  # 2026-03-08 02:00 becomes 03:00, 2026-11-01 02:00 becomes 01:00
JITTER_OF_WEB = 18.867221091931064


def at(text: str) -> float:
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo
    return moment.timestamp()


def shown(seconds: float, zone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(zone)).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("pattern", "zone", "now", "expected"),
    [
        pytest.param("*/5 * * * *", "UTC", "2026-05-01T10:00:00Z", ["2026-05-01T10:05+00:00"], id="later than now"),
        pytest.param("*/5 * * * *", "UTC", "2026-05-01T09:59:59.9Z", ["2026-05-01T10:00+00:00"], id="a moment before"),
        pytest.param("*/5 * * * *", "UTC", "2026-05-01T10:00:00.1Z", ["2026-05-01T10:05+00:00"], id="a moment after"),
        pytest.param(
            "59 23 31 12 *", "UTC", "2026-12-31T23:59:00Z", ["2027-12-31T23:59+00:00"], id="the end of a year"
        ),
        pytest.param(
            "0 0 1 1 *", BUCHAREST, "2026-12-31T21:59:59Z", ["2027-01-01T00:00+02:00"], id="a year begins in its zone"
        ),
        pytest.param("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", ["2104-02-29T00:00+00:00"], id="a leap day"),
        pytest.param("0 9 * * 1", "UTC", "2026-05-01T00:00:00Z", ["2026-05-04T09:00+00:00"], id="Mondays"),
        pytest.param("0 9 * * sun", "UTC", "2026-05-01T00:00:00Z", ["2026-05-03T09:00+00:00"], id="a day by name"),
        pytest.param("0 9 * * 7", "UTC", "2026-05-01T00:00:00Z", ["2026-05-03T09:00+00:00"], id="Sunday is 7 too"),
        pytest.param(
            "0 0 13 * 5",
            "UTC",
            "2026-05-01T00:00:00Z",
            ["2026-05-08T00:00+00:00", "2026-05-13T00:00+00:00", "2026-05-15T00:00+00:00"],
            id="either day is enough",
        ),
        pytest.param("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", ["2026-02-28T00:00+00:00"], id="the last day"),
        pytest.param(
            "30 3 * * *",
            BUCHAREST,
            "2026-03-28T02:00:00Z",
            ["2026-03-29T04:00+03:00", "2026-03-30T03:30+03:00"],
            id="Bucharest, in the skipped hour: once, when it ends",
        ),
        pytest.param(
            "0,30 3 * * *",
            BUCHAREST,
            "2026-03-28T02:00:00Z",
            ["2026-03-29T04:00+03:00", "2026-03-30T03:00+03:00"],
            id="Bucharest, twice in the skipped hour: once",
        ),
        pytest.param(
            "30 3 * * *",
            BUCHAREST,
            "2026-10-24T12:00:00Z",
            ["2026-10-25T03:30+03:00", "2026-10-26T03:30+02:00"],
            id="Bucharest, in the repeated hour: once, the first time",
        ),
        pytest.param(
            "30 3 * * *",
            BUCHAREST,
            "2026-10-25T01:10:00Z",
            ["2026-10-26T03:30+02:00"],
            id="Bucharest, asked in the second of the repeated hours",
        ),
        pytest.param(
            "*/30 * * * *",
            BUCHAREST,
            "2026-10-25T00:00:00Z",
            ["2026-10-25T03:30+03:00", "2026-10-25T03:00+02:00", "2026-10-25T03:30+02:00", "2026-10-25T04:00+02:00"],
            id="Bucharest, a star follows real time through the repeated hour",
        ),
        pytest.param(
            "*/30 * * * *",
            BUCHAREST,
            "2026-03-29T00:30:00Z",
            ["2026-03-29T04:00+03:00", "2026-03-29T04:30+03:00"],
            id="Bucharest, a star follows real time over the skipped hour",
        ),
        pytest.param(
            "15 2 * * *",
            NEW_YORK,
            "2026-03-07T12:00:00Z",
            ["2026-03-08T03:00-04:00", "2026-03-09T02:15-04:00"],
            id="New York, in the skipped hour: once, when it ends",
        ),
        pytest.param(
            "15 1 * * *",
            NEW_YORK,
            "2026-10-31T12:00:00Z",
            ["2026-11-01T01:15-04:00", "2026-11-02T01:15-05:00"],
            id="New York, in the repeated hour: once, the first time",
        ),
        pytest.param(
            "15 1 * * *",
            NEW_YORK,
            "2026-11-01T06:05:00Z",
            ["2026-11-02T01:15-05:00"],
            id="New York, asked in the second of the repeated hours",
        ),
    ],
)
def test_a_pattern_runs_at_these_times(pattern: str, zone: str, now: str, expected: list[str]) -> None:
    cron = Cron.parse(pattern, zone)
    assert [shown(run, zone) for run in islice(cron.firings(at(now)), len(expected))] == expected
    assert shown(cron.next_after(at(now)), zone) == expected[0]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        pytest.param("", "found the cron pattern '' of 0 fields, wanted five", id="empty"),
        pytest.param("* * * *", "of 4 fields, wanted five: minute, hour, day of the month, month and", id="four"),
        pytest.param("0 * * * * *", "found the cron pattern '0 * * * * *' of 6 fields, wanted five", id="six"),
        pytest.param("@daily", "of 1 field, wanted five", id="a nickname"),
        pytest.param("60 * * * *", "its minute '60' cannot be read", id="a minute that is none"),
        pytest.param("* 24 * * *", "its hour '24' cannot be read", id="an hour that is none"),
        pytest.param("* * 0 * *", "its day of the month '0' cannot be read", id="a day that is none"),
        pytest.param("* * * 13 *", "its month '13' cannot be read", id="a month that is none"),
        pytest.param("* * * * 8", "its day of the week '8' cannot be read", id="a weekday that is none"),
        pytest.param("*/0 * * * *", "its minute '*/0' cannot be read", id="a step of nothing"),
        pytest.param("5-1 * * * *", "its minute '5-1' cannot be read", id="a range backwards"),
        pytest.param("-5 * * * *", "its minute '-5' cannot be read", id="less than nothing"),
        pytest.param("0 0 30 2 *", "none of its months has the day 30", id="the 30th of February"),
        pytest.param("0 0 31 4,6,9,11 *", "none of its months has the day 31", id="the 31st of short months"),
        pytest.param("0 0 */31 2 MON#5,L", "cannot be read", id="a weekday of nonsense"),
        pytest.param("0 0 30-31 2 */1", "none of its months has the day 30-31", id="a range of days in February"),
        pytest.param("0 0 * 2 " + "1" * 150, "day of the week '111", id="a number of many digits"),
        pytest.param("1," * 150 + "1 * * * *", "wanted at most 200", id="a pattern too long"),
    ],
)
def test_a_wrong_pattern_is_refused_in_a_sentence(pattern: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^found ") as raised:
        Cron.parse(pattern, BUCHAREST)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("zone", ["", "Europe", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 500])
def test_a_wrong_zone_is_refused_in_a_sentence(zone: str) -> None:
    with pytest.raises(ValueError, match="wanted a time zone such as UTC or Europe/Bucharest"):
        Cron.parse("* * * * *", zone)


@given(st.text("0123456789*/,-#L W@\n\0é", max_size=30) | st.text(max_size=30))
def test_any_pattern_is_read_or_refused_by_a_value_error(pattern: str) -> None:
    try:
        cron = Cron.parse(pattern, "UTC")
    except ValueError:
        return
    assert cron.next_after(0.0) > 0


@pytest.mark.parametrize(
    ("pattern", "now", "gap"),
    [
        pytest.param("*/5 * * * *", "2026-05-01T10:02:00Z", 300.0, id="five minutes"),
        pytest.param("30 3 * * *", "2026-05-01T10:00:00Z", 86_400.0, id="a day"),
        pytest.param("30 5 * * *", "2026-03-28T00:00:00Z", 23 * 3600.0, id="a day of 23 hours"),
        pytest.param("30 5 * * *", "2026-10-24T00:00:00Z", 25 * 3600.0, id="a day of 25 hours"),
    ],
)
def test_the_gap_is_of_elapsed_seconds(pattern: str, now: str, gap: float) -> None:
    assert Cron.parse(pattern, BUCHAREST).gap(at(now)) == gap


def matching(hours: set[int], minutes: set[int], zone: str, after: datetime) -> datetime:
    """Return the next minute of real time whose local hour and minute are among these."""
    moment = after.replace(second=0, microsecond=0)
    while True:
        moment += timedelta(minutes=1)
        local = moment.astimezone(ZoneInfo(zone))
        if local.hour in hours and local.minute in minutes:
            return moment


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([BUCHAREST, NEW_YORK, "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    st.integers(1, 23),
    st.sampled_from([1, 5, 7, 30]),
    st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31", "2026-12-31"]),
    st.floats(0, 2 * 86_400),
)
def test_a_pattern_of_stars_agrees_with_a_walk_over_minutes(
    zone: str, hours: int, minutes: int, day: str, passed: float
) -> None:
    now = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(seconds=passed)
    cron = Cron.parse(f"*/{minutes} */{hours} * * *", zone)
    expected = matching(set(range(0, 24, hours)), set(range(0, 60, minutes)), zone, now)
    assert cron.next_after(now.timestamp()) == expected.timestamp()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([BUCHAREST, NEW_YORK]),
    st.integers(0, 59),
    st.integers(0, 23),
    st.floats(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")),
)
def test_a_fixed_time_comes_once_each_local_day_and_later_than_now(
    zone: str, minute: int, hour: int, now: float
) -> None:
    runs = list(islice(Cron.parse(f"{minute} {hour} * * *", zone).firings(now), 4))
    assert now < runs[0] <= now + 25 * 3600
    days = [datetime.fromtimestamp(run, ZoneInfo(zone)).date() for run in runs]
    assert days == [days[0] + timedelta(days=index) for index in range(4)]


@given(st.floats(1, 400 * 86_400), st.floats(0, 4e9), st.floats(0, 4e9), st.integers(1, 10_000))
def test_an_interval_gives_the_next_point_of_its_grid_only(
    seconds: float, phase: float, now: float, missed: int
) -> None:
    every = Every(seconds)
    following = every.next_after(now, phase)
    assert now < following <= now + seconds * (1 + 1e-6)
    assert math.isclose((following - phase) / seconds, round((following - phase) / seconds), abs_tol=1e-5)
    # After a pause there is one next run, not one for each that was missed.
    late = following + missed * seconds + seconds / 2
    assume(late < 1e12)
    assert late < every.next_after(late, phase) <= late + seconds * (1 + 1e-6)


@given(st.integers(1, 86_400), st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000))
def test_whole_seconds_stay_exact(seconds: int, phase: int, now: int) -> None:
    expected = now + seconds - (now - phase) % seconds
    assert Every(float(seconds)).next_after(float(now), float(phase)) == expected


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_an_interval_of_nothing_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="wanted more than 0 s"):
        Every(seconds)


@given(st.text(), st.floats(0.001, 1e6))
def test_jitter_is_the_same_for_a_key_and_below_the_most(key: str, most: float) -> None:
    assert 0 <= jitter(key, most) < most
    assert jitter(key, most) == jitter(key, most)


def test_jitter_is_even_over_many_keys_and_the_same_in_every_process() -> None:
    assert jitter("web", 60.0) == pytest.approx(JITTER_OF_WEB)
    shares = [jitter(f"service-{number}", 10.0) for number in range(10_000)]
    assert [sum(int(share) == tenth for share in shares) // 100 for tenth in range(10)] == pytest.approx(
        [10] * 10, abs=1
    )
    assert jitter("\ud800", 1.0) < 1


@given(st.integers(1, 10_000), st.floats(0, 1e6))
def test_a_spread_is_even_and_begins_at_once(count: int, seconds: float) -> None:
    assert spread(0, count, seconds) == 0
    assert spread(count - 1, count, seconds) <= seconds * (count - 1) / count + 1e-6
    assert spread(0, 0, seconds) == 0


def test_four_over_a_minute_come_every_quarter() -> None:
    assert [spread(index, 4, 60.0) for index in range(4)] == [0.0, 15.0, 30.0, 45.0]
