"""Windows cover what they name, for real time over changes of clocks; every mistake is told with its path."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.options import Duration
from exporter.windows import Window, WindowOptions

BUCHAREST = "Europe/Bucharest"  # 2026-03-29 03:00 becomes 04:00, 2026-10-25 04:00 becomes 03:00
HOUR = 3600.0


def at(text: str) -> float:
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo
    return moment.timestamp()


def options(**keys: Any) -> WindowOptions:
    if "duration" in keys:
        keys["duration"] = Duration(keys["duration"])
    return WindowOptions(**({"all": True} | keys))


CONFIGURATION = SimpleNamespace(
    services={
        "web": SimpleNamespace(group="frontend"),
        "api": SimpleNamespace(group="frontend"),
        "db": SimpleNamespace(group=None),
    }
)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"services": ("web", "db"), "cron": "0 2 * * 0", "duration": 7200}, id="services, repeated"),
        pytest.param({"groups": ("frontend",), "start": "2026-03-01T22:00", "end": "2026-03-02T02:00"}, id="a group"),
        pytest.param({"all": True, "start": "2026-03-01T22:00Z", "end": "2026-03-02T00:30+02:00"}, id="everything"),
        pytest.param(
            {"all": True, "start": "20260301T22", "end": "2026-03-02 02:00", "timezone": BUCHAREST}, id="forms"
        ),
    ],
)
def test_a_whole_window_has_no_problems_and_is_read(keys: dict[str, Any]) -> None:
    window = options(**({"all": False} | keys))
    assert list(window.problems(CONFIGURATION)) == []
    assert window.window().next_change(0.0) is not None


@pytest.mark.parametrize(
    ("keys", "path", "sentence"),
    [
        pytest.param({"all": False, "cron": "0 2 * * 0", "duration": 60}, (), "names nothing", id="nothing named"),
        pytest.param(
            {"services": ("web", "wbe"), "cron": "0 2 * * 0", "duration": 60},
            ("services", 1),
            "there is no service 'wbe'; did you mean 'web'?",
            id="an unknown service",
        ),
        pytest.param(
            {"groups": ("zzz",), "cron": "0 2 * * 0", "duration": 60},
            ("groups", 0),
            "there is no group 'zzz'",
            id="an unknown group",
        ),
        pytest.param({}, (), "has no time: give `cron` and `duration`, or `start` and `end`", id="no time"),
        pytest.param({"cron": "0 2 * * 0"}, ("cron",), "how long it lasts: give `duration` too", id="no duration"),
        pytest.param({"duration": 60}, ("duration",), "but not when: give `cron` too", id="no cron"),
        pytest.param({"start": "2026-03-01T22:00"}, ("start",), "give `end` too", id="no end"),
        pytest.param({"end": "2026-03-01T22:00"}, ("end",), "give `start` too", id="no start"),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 60, "start": "2026-03-01T22:00", "end": "2026-03-01T23:00"},
            (),
            "has both forms",
            id="both forms",
        ),
        pytest.param({"cron": "0 2 * * 0", "end": "2026-03-01T23:00"}, (), "has both forms", id="halves of both"),
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "2026-03-01T22:00"},
            ("end",),
            "found '2026-03-01T22:00', wanted a time after `start`",
            id="no time between",
        ),
        pytest.param(
            {"start": "2026-03-01T22:00+02:00", "end": "2026-03-01T19:00Z"},
            ("end",),
            "wanted a time after `start`, which is '2026-03-01T22:00+02:00'",
            id="an end before the start, in other zones",
        ),
        pytest.param({"start": "soon", "end": "2026-03-01T22:00"}, ("start",), "wanted a date and time", id="no time"),
        pytest.param({"start": "2026-03-01T22:00", "end": "2026-03-02"}, ("end",), "wanted a date and", id="a date"),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 60, "timezone": "Mars"}, ("timezone",), "wanted a time zone", id="zone"
        ),
        pytest.param({"cron": "0 25 * * 0", "duration": 60}, ("cron",), "its hour '25' cannot be read", id="cron"),
        pytest.param({"cron": "0 0 30 2 *", "duration": 60}, ("cron",), "none of its months has", id="February 30"),
    ],
)
def test_each_mistake_is_told_with_its_path(keys: dict[str, Any], path: tuple[Any, ...], sentence: str) -> None:
    window = options(**keys)
    found = list(window.problems(CONFIGURATION))
    assert [one for one, _ in found] == [path]
    assert sentence in found[0][1]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        pytest.param({"cron": "0 25 * * 0", "duration": 60}, "cron: found the cron pattern", id="cron"),
        pytest.param({}, "has no time", id="no time"),
    ],
)
def test_a_window_with_a_problem_is_not_read(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        options(**keys).window()


@pytest.mark.parametrize(
    ("keys", "service", "group", "covered"),
    [
        pytest.param({"services": ("web",)}, "web", None, True, id="by name"),
        pytest.param({"services": ("web",)}, "api", "web", False, id="a group is no service"),
        pytest.param({"groups": ("frontend",)}, "api", "frontend", True, id="by group"),
        pytest.param({"groups": ("frontend",)}, "frontend", None, False, id="a service is no group"),
        pytest.param({"all": True}, "anything", None, True, id="everything"),
    ],
)
def test_a_window_covers_what_it_names(keys: dict[str, Any], service: str, group: str | None, *, covered: bool) -> None:
    window = options(**({"all": False, "cron": "0 2 * * 0", "duration": 60} | keys)).window()
    assert window.covers(service, group) is covered


@pytest.mark.parametrize(
    ("keys", "began", "ended"),
    [
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 2 * HOUR, "timezone": BUCHAREST},
            "2026-05-03T02:00+03:00",
            "2026-05-03T04:00+03:00",
            id="a Sunday",
        ),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 2 * HOUR, "timezone": BUCHAREST},
            "2026-03-29T02:00+02:00",
            "2026-03-29T05:00+03:00",
            id="over the skipped hour it lasts two hours of real time",
        ),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 2 * HOUR, "timezone": BUCHAREST},
            "2026-10-25T02:00+03:00",
            "2026-10-25T03:00+02:00",
            id="over the repeated hour it lasts two hours of real time",
        ),
        pytest.param(
            {"cron": "30 3 * * *", "duration": HOUR, "timezone": BUCHAREST},
            "2026-03-29T04:00+03:00",
            "2026-03-29T05:00+03:00",
            id="in the skipped hour it begins when that ends",
        ),
        pytest.param(
            {"cron": "0 0 1 1 *", "duration": 2 * HOUR},
            "2027-01-01T00:00Z",
            "2027-01-01T02:00Z",
            id="at the turn of a year",
        ),
        pytest.param(
            {"cron": "0 1,2 1 5 *", "duration": 2 * HOUR},
            "2026-05-01T01:00Z",
            "2026-05-01T04:00Z",
            id="a start inside the time of the one before makes one window",
        ),
        pytest.param(
            {"cron": "0 1,2 1 5 *", "duration": HOUR},
            "2026-05-01T01:00Z",
            "2026-05-01T03:00Z",
            id="a start at the end of the one before makes one window",
        ),
        pytest.param(
            {"start": "2026-03-29T02:00", "end": "2026-03-29T04:30", "timezone": BUCHAREST},
            "2026-03-29T02:00+02:00",
            "2026-03-29T04:30+03:00",
            id="once, in its zone",
        ),
        pytest.param(
            {"start": "2026-10-25T03:15", "end": "2026-10-25T03:45", "timezone": BUCHAREST},
            "2026-10-25T03:15+03:00",
            "2026-10-25T03:45+02:00",
            id="once, in the repeated hour: from its first to its last",
        ),
        pytest.param(
            {"start": "2026-03-01T22:00-05:00", "end": "2026-03-02T09:00+02:00", "timezone": BUCHAREST},
            "2026-03-02T03:00Z",
            "2026-03-02T07:00Z",
            id="once, with zones of their own",
        ),
    ],
)
def test_a_window_is_active_from_its_first_moment_up_to_its_last(keys: dict[str, Any], began: str, ended: str) -> None:
    window = options(**keys).window()
    first, last = at(began), at(ended)
    asked = [first - 0.5, first, (first + last) / 2, last - 0.5, last]
    assert [window.active(now) for now in asked] == [False, True, True, True, False]
    assert window.next_change(first - 0.5) == first
    assert window.next_change(first) == last
    assert window.next_change(last - 0.5) == last


def test_a_window_that_is_over_never_changes_again() -> None:
    window = options(start="2026-03-01T22:00", end="2026-03-02T02:00").window()
    assert window.next_change(at("2026-03-02T02:00Z")) is None


def test_a_window_without_end_is_always_active_and_says_when_to_ask_again() -> None:
    window = options(cron="* * * * *", duration=7 * 86_400).window()
    now = at("2026-05-01T00:00:30Z")
    again = window.next_change(now)
    assert again is not None
    assert again > now
    assert window.active(now)
    assert window.active(again)
    assert window.reason(now) == "planned maintenance", "no end is told that would be none"
    assert window.spell(now) == (at("2026-04-24T00:01Z"), None)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([BUCHAREST, "America/New_York", "UTC"]),
    st.sampled_from(["2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01", "2026-12-31"]),
    st.sets(st.integers(0, 23), min_size=1, max_size=3),
    st.integers(0, 59),
    st.integers(1, 300),
)
def test_active_and_next_change_agree_with_a_walk_over_minutes(
    zone: str, day: str, hours: set[int], minute: int, minutes: int
) -> None:
    window = options(
        cron=f"{minute} {','.join(map(str, sorted(hours)))} * * *", duration=minutes * 60, timezone=zone
    ).window()
    midnight = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
    moments = range(midnight - 86_400, midnight + 2 * 86_400, 60)
    inside = walked(moments, zone, hours, minute, minutes)
    for index, now in list(enumerate(moments))[86_400 // 60 :: 17]:
        assert window.active(now) is inside[index]
        assert window.active(now + 59.9) is inside[index]
        following = next((one for one in range(index, len(inside)) if inside[one] is not inside[index]), None)
        if following is not None:
            assert window.next_change(now) == moments[following]


def walked(moments: range, zone: str, hours: set[int], minute: int, minutes: int) -> list[bool]:
    """Return for each minute whether a start lies so few minutes back, as Debian's cron would start it.

    A local time that is skipped starts at the first moment after the gap, one that comes twice the first time only.
    """
    inside: list[bool] = []
    left = 0
    before = datetime.fromtimestamp(moments[0] - 60, ZoneInfo(zone))
    for now in moments:
        local = datetime.fromtimestamp(now, ZoneInfo(zone))
        skipped = local.utcoffset() > before.utcoffset() and before.hour + 1 in hours
        if skipped or (local.fold == 0 and local.minute == minute and local.hour in hours):
            left = minutes
        inside.append(left > 0)
        left -= 1
        before = local
    return inside


def test_several_windows_overlap_without_a_word_about_each_other() -> None:
    night = options(cron="0 2 * * *", duration=2 * HOUR).window()
    once = options(start="2026-05-01T03:00", end="2026-05-01T05:00").window()
    hours = [at(f"2026-05-01T0{hour}:30Z") for hour in range(1, 6)]
    assert [(night.active(now), once.active(now)) for now in hours] == [
        (False, False),
        (True, False),
        (True, True),
        (False, True),
        (False, False),
    ]


def test_a_window_of_nothing_is_never_active() -> None:
    assert not Window().active(0.0)
    assert Window().next_change(0.0) is None


@pytest.mark.parametrize(
    ("keys", "now", "reason"),
    [
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "2026-03-02T04:00", "comment": "database upgrade"},
            "2026-03-02T00:00Z",
            "planned maintenance until 2026-03-02 04:00 UTC: database upgrade",
            id="with its comment",
        ),
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "2026-03-02T04:00:30"},
            "2026-03-02T00:00Z",
            "planned maintenance until 2026-03-02 04:00:30 UTC",
            id="an end that is no whole minute",
        ),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 2 * HOUR, "timezone": BUCHAREST, "comment": "weekly\n updates"},
            "2026-03-29T00:30Z",
            "planned maintenance until 2026-03-29 02:00 UTC: weekly updates",
            id="repeated, on one line",
        ),
        pytest.param(
            {"cron": "0 1,2 1 5 *", "duration": 2 * HOUR},
            "2026-05-01T01:30Z",
            "planned maintenance until 2026-05-01 04:00 UTC",
            id="until the end of a chain",
        ),
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "9999-12-31T23:59-05:00"},
            "2026-03-02T00:00Z",
            "planned maintenance",
            id="an end that no calendar has",
        ),
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "2026-03-02T04:00", "comment": "why"},
            "2026-03-03T00:00Z",
            "planned maintenance: why",
            id="over",
        ),
    ],
)
def test_the_reason_tells_until_when_and_why(keys: dict[str, Any], now: str, reason: str) -> None:
    assert options(**keys).window().reason(at(now)) == reason


@pytest.mark.parametrize(
    ("keys", "subject"),
    [
        pytest.param({"services": ("web",)}, "service web", id="a service"),
        pytest.param({"services": ("web", "db"), "groups": ("b", "a")}, "services db, web; groups a, b", id="several"),
        pytest.param({"all": True, "services": ("web",)}, "everything", id="everything"),
    ],
)
def test_a_window_says_what_it_is_for(keys: dict[str, Any], subject: str) -> None:
    times = {"start": "2026-03-01T22:00", "end": "2026-03-02T04:00"}
    assert options(**({"all": False} | times | keys)).window().subject() == subject
    assert Window().subject() == "nothing"


@pytest.mark.parametrize(
    ("keys", "now", "spell"),
    [
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "2026-03-02T02:00"},
            "2026-01-01T00:00Z",
            ("2026-03-01T22:00Z", "2026-03-02T02:00Z"),
            id="once, coming",
        ),
        pytest.param(
            {"start": "2026-03-01T22:00", "end": "2026-03-02T02:00"}, "2026-03-02T02:00Z", None, id="once, over"
        ),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 2 * HOUR, "timezone": BUCHAREST},
            "2026-03-29T01:30Z",
            ("2026-03-29T02:00+02:00", "2026-03-29T05:00+03:00"),
            id="repeated, over the skipped hour",
        ),
        pytest.param(
            {"cron": "0 2 * * 0", "duration": 2 * HOUR, "timezone": BUCHAREST},
            "2026-03-29T02:00Z",
            ("2026-04-05T02:00+03:00", "2026-04-05T04:00+03:00"),
            id="repeated, the next one",
        ),
        pytest.param(
            {"cron": "0 1,2 1 5 *", "duration": 2 * HOUR},
            "2026-05-01T00:00Z",
            ("2026-05-01T01:00Z", "2026-05-01T04:00Z"),
            id="a chain",
        ),
    ],
)
def test_the_spell_is_the_time_that_lasts_or_the_next(
    keys: dict[str, Any], now: str, spell: tuple[str, str] | None
) -> None:
    assert options(**keys).window().spell(at(now)) == (spell and (at(spell[0]), at(spell[1])))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([BUCHAREST, "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]),
    st.integers(0, 23),
    st.integers(1, 48 * 60),
    st.integers(-86_400, 2 * 86_400),
)
def test_spell_active_and_reason_agree(zone: str, day: str, hour: int, minutes: int, offset: int) -> None:
    """Now is inside of the spell where it is active, before it else; the reason tells its end; none lasts less."""
    window = options(cron=f"0 {hour} * * *", duration=minutes * 60, timezone=zone).window()
    now = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + offset
    spell = window.spell(now)
    assert spell is not None
    began, ended = spell
    if ended is None:
        assert minutes > 23 * 60
        assert window.active(now)
        return
    assert ended - began >= minutes * 60
    assert window.active(now) is (began <= now < ended)
    if began > now:
        assert window.next_change(now) == began
    assert window.active(began)
    if minutes < 23 * 60:
        assert not window.active(ended)
        assert ended - began == minutes * 60, "it lasts so long in real time, also when clocks are changed"
    if window.active(now):
        assert f"{datetime.fromtimestamp(ended, UTC):%Y-%m-%d %H:%M} UTC" in window.reason(now)


def test_a_window_that_repeats_lasts_at_most_a_year() -> None:
    """One that goes back beyond all calendars is refused in words."""
    window = options(cron="0 2 * * 0", duration=5000 * 366 * 86_400)
    assert list(window.problems(CONFIGURATION)) == [
        (("duration",), "is longer than a year, in which it begins again: give at most 366d")
    ]
    assert list(options(cron="0 2 * * 0", duration=366 * 86_400).problems(CONFIGURATION)) == []
