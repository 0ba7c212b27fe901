"""Times of alerts: RFC 3339 as Go prints it, with a zone, within reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from alerts.deliveries import NOW
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerts import times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("2026-11-26T12:00:00Z", NOW, id="UTC"),
        pytest.param("2026-11-26T12:00:00z", NOW, id="a small z"),
        pytest.param("2026-11-26t12:00:00Z", NOW, id="a small t"),
        pytest.param("2026-11-26T14:00:00+02:00", NOW, id="an offset"),
        pytest.param("2026-11-26T06:30:00-05:30", NOW, id="an offset of half an hour"),
        pytest.param("2026-11-26T12:00:00.5Z", NOW + 0.5, id="tenths"),
        pytest.param("2026-11-26T12:00:00.123456789Z", NOW + 0.123456, id="nanoseconds"),
        pytest.param("2026-11-26T14:00:00.000000001+02:00", NOW, id="one nanosecond, with an offset"),
        pytest.param("1970-01-01T00:00:00Z", 0.0, id="1970"),
        pytest.param("2026-11-27T12:00:00Z", NOW + 86_400, id="a day ahead"),
        pytest.param("0001-01-01T00:00:00Z", None, id="Go's zero time"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="null"),
    ],
)
def test_a_time_is_read(text, seconds):
    """Seconds since 1970, to the microsecond; None where there is none."""
    assert times.seconds(text, NOW) == (None if seconds is None else pytest.approx(seconds, abs=2e-6))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-11-26T12:00:00", id="B07 naive"),
        pytest.param("2026-11-26 12:00:00Z", id="B07 a space"),
        pytest.param("2026-11-26", id="B07 a day"),
        pytest.param("20261126T120000Z", id="B07 without separators"),
        pytest.param("2026-W48-4T12:00:00Z", id="B07 a week"),
        pytest.param("2026-11-26T12:00Z", id="B07 without seconds"),
        pytest.param("2026-11-26T12:00:00,5Z", id="B07 a comma"),
        pytest.param("2026-11-26T12:00:00.Z", id="B07 a point and nothing"),
        pytest.param("2026-11-26T12:00:00+0200", id="B07 an offset without its colon"),
        pytest.param("2026-11-26T12:00:00+25:00", id="B07 an offset of more than a day"),
        pytest.param("2026-02-30T12:00:00Z", id="B07 no day of the calendar"),
        pytest.param("2026-11-26T24:00:00Z", id="B07 hour 24"),
        pytest.param("2026-11-26T12:00:60Z", id="B07 second 60"),
        pytest.param("\uff12026-11-26T12:00:00Z", id="B07 a digit outside of ASCII"),
        pytest.param("2026-11-26T12:00:00Z\n", id="B07 a line end after it"),
        pytest.param("2026-11-26T12:00:00." + "1" * 10_000 + "Z", id="B07 10,000 digits"),
        pytest.param("now", id="B07 a word"),
        pytest.param("1969-12-31T23:59:59Z", id="B07 before 1970"),
        pytest.param("-2026-11-26T12:00:00Z", id="B07 a negative year"),
        pytest.param("0001-01-01T00:00:00+01:00", id="B07 before the first year"),
        pytest.param("2026-11-27T12:00:01Z", id="B07 more than a day ahead"),
        pytest.param("9999-12-31T23:59:59-23:59", id="B07 the last year"),
        pytest.param("10000-01-01T00:00:00Z", id="B07 the year 10000"),
        pytest.param(1795694400, id="B07 a number"),
        pytest.param(True, id="B07 a truth value"),
        pytest.param(["2026-11-26T12:00:00Z"], id="B07 a list"),
    ],
)
def test_a_time_that_is_not_taken(text):
    """A wrong time would open or close the wrong episode."""
    with pytest.raises(times.TimeError):
        times.seconds(text, NOW)


@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2026, 11, 25)),  # noqa: DTZ001 -- the zone is drawn
    st.integers(-1439, 1439),
)
def test_every_time_with_every_offset_is_read_as_python_reads_it(when, minutes):
    """What is printed in any zone is the same second."""
    zoned = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert times.seconds(zoned.isoformat(), NOW) == pytest.approx(zoned.timestamp(), abs=1e-6)


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_is_a_time_or_none_or_refused(text):
    """Nothing but TimeError comes out, and what is taken lies between 1970 and tomorrow."""
    try:
        seconds = times.seconds(text, NOW)
    except times.TimeError:
        return
    assert seconds is None or 0 <= seconds <= NOW + times.FUTURE
    assert seconds is None or datetime.fromtimestamp(seconds, UTC)
