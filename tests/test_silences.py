"""What Alertmanager silences is known as it judges itself; what it does not say is held, or as the option has it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.badhttp import answer, serving
from servers.programs import find, until
from servers.watched import NOON, FakeClock

from exporter.bridge.options import AlertmanagerOptions, Login
from exporter.clock import SystemClock
from exporter.config.options import Duration, Secret
from exporter.handover import moment
from exporter.matchers import Matcher
from exporter.silences import FRESH, MAX_AGE, Silences
from exporter.silences.known import _start

if TYPE_CHECKING:
    from servers.alertmanager import Alertmanager
    from servers.badhttp import BadHttp

PATH = "/api/v2/silences"
DOWN = {"alertname": "Down", "instance": "db-1"}


def asking(url: str | None, clock: Any = None, **keys: Any) -> Silences:
    """Return who asks the Alertmanager of a URL; every address may be connected to."""
    return Silences(AlertmanagerOptions(url=url, **keys), clock or SystemClock(), lambda _: True)


def matcher(name: str, value: str, operator: str = "=") -> dict[str, Any]:
    """Return a matcher as the API has it."""
    return {"name": name, "value": value, "isRegex": "~" in operator, "isEqual": "!" not in operator}


def silence(*matchers: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return a silence as the API tells of it, which holds from an hour before noon until an hour after it."""
    values = {
        "id": "8a2f1c5e-0000-4000-8000-000000000001",
        "status": {"state": "active"},
        "comment": "is being mended",
        "createdBy": "ops",
        "startsAt": moment(NOON - 3600),
        "endsAt": moment(NOON + 3600),
        "matchers": list(matchers or [matcher("alertname", "Down")]),
    }
    return values | keys


def told(bad: BadHttp, *silences: Any) -> None:
    """Have a server answer with these silences."""
    bad.extra[PATH] = answer(json.dumps(silences).encode())


async def reason(*silences: Any, labels: dict[str, str] = DOWN, clock: FakeClock | None = None, **keys: Any) -> Any:
    """Return what is said of an alert when a server tells of these silences."""
    async with serving() as bad:
        told(bad, *silences)
        asked = asking(bad.url(""), clock or FakeClock(), **keys)
        await asked.refresh()
        return asked.reason(labels)


MATCHERS = [
    [matcher("team", "a")],
    [matcher("team", "a"), matcher("zone", "x")],
    [matcher("team", "b"), matcher("zone", "")],
    [matcher("team", "c"), matcher("zone", "x", "!=")],
    [matcher("team", "d|e", "=~")],
    [matcher("team", "f"), matcher("zone", "x.*|y", "!~")],
    [matcher("team", "g|h", "=~")],
    [matcher("team", "i.+", "=~"), matcher("missing", "", "!=")],
    [matcher("team", "j"), matcher("missing", "k?", "=~")],
    [matcher("team", 'é💥"\\', "=")],
    [matcher("team", "(?i)MIXED", "=~")],
    [matcher("team", "l\\.m", "=~")],
    [matcher("team", "a", "="), matcher("team", "b", "=")],
    [matcher("team", "two.lines", "=~")],
]
TEAMS = [
    "a",
    "b",
    "c",
    "d",
    "de",
    "e",
    "f",
    "g",
    "h",
    "gh",
    "ii",
    "j",
    'é💥"\\',
    "mixed",
    "l.m",
    "lxm",
    "two lines",
    "z",
]


async def test_it_judges_as_alertmanager_does(alertmanager: Alertmanager) -> None:
    """Of each silence and each alert: exact and pattern, equal and not, empty and absent, anchored as there."""
    labels = [
        {"alertname": "Judged", "team": team, **({"zone": zone} if zone else {})}
        for team in TEAMS
        for zone in ("", "x", "xx", "y")
    ]
    alertmanager.post(*({"labels": one} for one in labels))
    judged: dict[int, tuple[list[bool], list[bool]]] = {}
    for number, matchers in enumerate(MATCHERS):
        known = _silenced(alertmanager, matchers)
        asked = asking(alertmanager.url)
        await asked.refresh()
        theirs = {_key(one["labels"]): known in one["status"]["silencedBy"] for one in alertmanager.alerts()}
        judged[number] = [theirs[_key(one)] for one in labels], [asked.reason(one) is not None for one in labels]
        assert alertmanager.ask("DELETE", f"/api/v2/silence/{known}")[0] == 200
    assert all(theirs == ours for theirs, ours in judged.values()), judged
    assert sum(any(theirs) for theirs, _ in judged.values()) >= len(MATCHERS) - 2


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _silenced(alertmanager: Alertmanager, matchers: list[dict[str, Any]]) -> str:
    now = SystemClock().time()
    body = {"matchers": matchers, "createdBy": "ops", "comment": "a test"}
    status, data = alertmanager.ask("POST", PATH, body | {"startsAt": moment(now), "endsAt": moment(now + 3600)})
    assert status == 200, data
    known = str(json.loads(data)["silenceID"])
    until(lambda: known in {one["id"] for one in alertmanager.silences()}, 10, "the silence")
    return known


async def test_a_silence_of_amtool_is_told_until_it_is_expired(alertmanager: Alertmanager) -> None:
    """The sentence has its number, its author, its comment and its end."""
    clock = FakeClock(wall=SystemClock().time())
    asked = asking(alertmanager.url, clock)
    await asked.refresh()
    assert asked.reason(DOWN) is None
    tool = [find("amtool", "amtool"), f"--alertmanager.url={alertmanager.url}", "silence"]
    add = [*tool, "add", "--author=ops", "--duration=1h", "--comment=disk is\nbeing changed", 'instance=~"db-.*"']
    known = await asyncio.to_thread(_ran, add)
    clock.pass_(FRESH)
    await asked.refresh()
    said = asked.reason(DOWN) or ""
    assert said.startswith(f"Alertmanager silences the alert by the silence {known}, made by ops, until 20")
    assert said.endswith("Z: disk is being changed")
    assert asked.reason({"alertname": "Down", "instance": "web-1"}) is None
    await asyncio.to_thread(_ran, [*tool, "expire", known])
    clock.pass_(FRESH)
    await asked.refresh()
    assert asked.reason(DOWN) is None


def _ran(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


TIMES = [
    pytest.param({}, 0, True, id="active"),
    pytest.param({"status": {"state": "expired"}}, 0, False, id="expired"),
    pytest.param({"endsAt": moment(NOON + 30)}, 31, False, id="ended since it was asked"),
    pytest.param({"endsAt": moment(NOON + 30)}, 29, True, id="not ended yet"),
    pytest.param({"endsAt": moment(NOON - 1)}, 0, True, id="active there, ended by a clock that differs"),
    pytest.param({"endsAt": "whenever"}, 59, True, id="active without an end that can be read"),
    pytest.param({"status": {"state": "pending"}, "startsAt": moment(NOON + 30)}, 29, False, id="not begun yet"),
    pytest.param({"status": {"state": "pending"}, "startsAt": moment(NOON + 30)}, 30, True, id="begun since"),
    pytest.param({"endsAt": "9999-12-31T23:59:59Z"}, 0, True, id="without end"),
]


@pytest.mark.parametrize(("keys", "later", "silenced"), TIMES)
async def test_a_silence_holds_in_its_time(keys: dict[str, Any], later: float, silenced: bool) -> None:  # noqa: FBT001 - a table
    """Also by an answer that is some seconds old, and whatever the wall's clock was set to meanwhile."""
    clock = FakeClock()
    async with serving() as bad:
        told(bad, silence(**keys))
        asked = asking(bad.url(""), clock)
        await asked.refresh()
        clock.pass_(later)
        clock.set(-86_400)
        assert (asked.reason(DOWN) is not None) is silenced


async def test_of_several_silences_the_longest_is_told() -> None:
    """Whatever they demand."""
    said = await reason(
        silence(matcher("alertname", ".*", "=~"), id="short", endsAt=moment(NOON + 60)),
        silence(matcher("instance", "db-1"), id="long", endsAt=moment(NOON + 7200)),
        silence(id="middle"),
        silence(matcher("instance", "db-2"), id="another", endsAt=moment(NOON + 9000)),
    )
    assert said == (
        "Alertmanager silences the alert by the silence long, made by ops, until 2026-05-01T14:00:00.000Z: "
        "is being mended"
    )


async def test_what_a_silence_says_is_hostile() -> None:
    """It is told on one line, bounded, and nothing of it steers a terminal."""
    said = await reason(silence(comment="\x1b[31m\u202e" + "x" * 5000, createdBy="a\r\nb\ud800", id=7))
    assert said.isprintable()
    assert len(said) < 400
    assert "made by a b\ufffd" in said


async def test_is_equal_is_true_where_it_is_not_said() -> None:
    """Alertmanager before 0.22 does not know it."""
    old = {"name": "alertname", "value": "Down", "isRegex": False}
    assert await reason(silence(old)) is not None
    assert await reason(silence(old), labels={"alertname": "Up"}) is None


async def test_an_empty_value_is_that_of_a_label_that_is_absent() -> None:
    """Also where the silence demands nothing rarer."""
    demands = [silence(matcher("zone", ""), matcher("alertname", "Down")), silence(matcher("alertname", "Down"))]
    assert "by the silence first" in await reason(demands[0] | {"id": "first"}, demands[1] | {"endsAt": moment(NOON)})
    assert await reason(demands[0], labels=DOWN | {"zone": "x"}) is None


UNREAD = [
    pytest.param(silence(matcher("alertname", "D(?=own)", "=~")), id="a pattern that Go does not know either"),
    pytest.param(silence(matcher("alertname", "x" * 20_000, "=~")), id="a long pattern"),
    pytest.param(silence(matcher("alertname", "\ud800", "=~")), id="no UTF-8"),
    pytest.param(silence({"name": "alertname"}), id="no value"),
    pytest.param(silence(matcher("alertname", "Down") | {"isRegex": "no"}), id="no boolean"),
    pytest.param(silence("alertname=Down"), id="no object"),
    pytest.param(silence(matchers=[]), id="no matchers"),
    pytest.param(silence(matchers=None), id="matchers of null"),
    pytest.param(silence(status=None), id="no state"),
    pytest.param(silence(status={"state": "sleeping"}), id="a state of the future"),
]


@pytest.mark.parametrize("odd", UNREAD)
async def test_a_silence_that_cannot_be_read_is_not_known(odd: Any) -> None:
    """It holds what it might be meant for; with `proceed` it does not."""
    said = await reason(odd)
    assert said.startswith("it is not known whether Alertmanager silences the alert (of the silence 8a2f1c5e-")
    assert said.endswith("write that silence in another way, or expire it")
    assert said.isprintable()
    assert await reason(odd, silences="proceed") is None


async def test_what_can_be_read_of_a_silence_rules_alerts_out() -> None:
    """A matcher that does not match decides, whatever the others would say; a silence that is certain comes first."""
    odd = silence(matcher("instance", "db-(?=1)", "=~"), matcher("alertname", "Up"))
    assert await reason(odd) is None
    assert "not known" in await reason(odd, labels={"alertname": "Up"})
    assert "by the silence sure" in await reason(odd, silence(matchers=[]), silence(id="sure"))


ANSWERS = [
    pytest.param(answer(b"all fine"), "answered with something that is no JSON", id="no JSON"),
    pytest.param(answer(b"[" * 100_000), "answered with something that is no JSON", id="deep"),
    pytest.param(answer(b'"\xff"'), "answered with something that is no JSON", id="no UTF-8"),
    pytest.param(answer(b""), "answered with something that is no JSON", id="empty"),
    pytest.param(answer(b'{"data": []}'), "answered with something that is no list of silences", id="an object"),
    pytest.param(answer(b"[null]"), "answered with something that is no list of silences", id="a list of nothing"),
    pytest.param(answer(b"[" + b"{}," * 50_000 + b"{}]"), "answered with more than 50,000 silences", id="many"),
    pytest.param(answer(b" " * 8_388_609), "answered with more than 8,388,608 bytes", id="huge"),
    pytest.param(answer(b"[]", length=100), "did not send the whole of its answer", id="cut"),
    pytest.param(answer(status="500 Oops"), "answered 500 Internal Server Error", id="500"),
    pytest.param(answer(status="401 No"), "answered 401 Unauthorized", id="401"),
    pytest.param(
        answer(b"[]", "Location: /elsewhere", status="302 Found"),
        "answered 302 Found, and redirects are not followed: configure the URL that it leads to",
        id="a redirect",
    ),
    pytest.param(bytes(range(256)), "answered with something that is no HTTP", id="garbage"),
]


@pytest.mark.parametrize(("raw", "why"), ANSWERS)
async def test_a_bad_answer_says_nothing(raw: bytes, why: str) -> None:
    """The sentence says what was wrong and what to do; with `proceed` alerts go on."""
    async with serving() as bad:
        bad.extra[PATH] = raw
        asked, going = asking(bad.url("")), asking(bad.url(""), silences="proceed")
        await asked.refresh()
        await going.refresh()
        assert asked.reason(DOWN) == (
            f"it is not known whether Alertmanager silences the alert ({bad.url('/…')} {why}): look at Alertmanager "
            "and at `alertmanager.url`, or let alerts be acted on without its word by `alertmanager.silences: proceed`"
        )
        assert going.reason(DOWN) is None
        assert len(bad.requests) == 2


@pytest.mark.parametrize(
    ("path", "why"),
    [("/silent", "did not answer within 0.2 s"), ("/trickle", "did not send the whole of its answer")],
)
async def test_a_slow_alertmanager_says_nothing(path: str, why: str) -> None:
    """Neither one that does not answer nor one that does not end."""
    async with serving() as bad:
        asked = asking(bad.url(path), timeout=Duration(0.2))
        await asked.refresh()
        assert f"({bad.url('/…')} {why})" in (asked.reason(DOWN) or "")


async def test_nothing_is_known_before_it_was_asked() -> None:
    """Nor where nothing listens, where nobody may connect, and of a URL that is none."""
    assert "(it was not asked yet)" in (asking("http://127.0.0.1:9").reason(DOWN) or "")
    away, forbidden = (
        asking("http://127.0.0.1:9"),
        Silences(AlertmanagerOptions(url="http://127.0.0.1:9"), SystemClock(), lambda _: False),
    )
    wrong = asking("http://a_b c/")
    for one in (away, forbidden, wrong):
        await one.refresh()
    assert "could not be reached (connection refused)" in (away.reason(DOWN) or "")
    assert "nothing may connect there" in (forbidden.reason(DOWN) or "")
    assert "(`alertmanager.url` cannot be asked, as the URL holds a space" in (wrong.reason(DOWN) or "")


async def test_without_a_url_or_with_ignore_nobody_is_asked() -> None:
    """And nothing is held."""
    async with serving() as bad:
        told(bad, silence())
        nobody = Silences(None, SystemClock(), lambda _: True)
        for asked in (nobody, asking(None), asking(bad.url(""), silences="ignore")):
            await asked.refresh()
            assert asked.reason(DOWN) is None
        assert bad.connections == 0


async def test_an_answer_is_shared_for_seconds() -> None:
    """Many who ask at once make one request, and so do those who ask soon after it, also when it failed."""
    clock = FakeClock()
    async with serving() as bad:
        asked = asking(bad.url(""), clock)
        for raw in (b"no", b"[]", b"[]"):
            bad.extra[PATH] = answer(raw)
            await asyncio.gather(*(asked.refresh() for _ in range(20)))
            clock.pass_(FRESH - 0.1)
            await asked.refresh()
            clock.pass_(0.1)
        assert len(bad.requests) == 3
        assert asked.reason(DOWN) is None


async def test_an_answer_holds_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """While Alertmanager is away what it said last is believed so long; the log tells once that it is away."""
    clock = FakeClock()
    caplog.set_level(logging.INFO, "exporter.silences")
    async with serving() as bad:
        told(bad, silence())
        held, going = asking(bad.url(""), clock), asking(bad.url(""), clock, silences="proceed")
        for one in (held, going):
            await one.refresh()
        bad.extra[PATH] = answer(status="503 Busy")
        for _ in range(2):
            clock.pass_(MAX_AGE / 2)
            for one in (held, going):
                await one.refresh()
                assert "by the silence 8a2f1c5e-" in (one.reason(DOWN) or "")
        clock.pass_(0.1)
        assert "(http://127.0.0.1" in (held.reason(DOWN) or "")
        assert "answered 503 Service Unavailable" in (held.reason({"alertname": "Up"}) or "")
        assert going.reason(DOWN) is None
        told(bad)
        clock.pass_(FRESH)
        await held.refresh()
        assert held.reason(DOWN) is None
        clock.pass_(MAX_AGE + 15)
        assert "(it was last asked 75 s ago)" in (held.reason(DOWN) or "")
    lines = [one.getMessage() for one in caplog.records if one.name == "exporter.silences"]
    assert [line.split(":")[0] for line in lines] == [
        "Alertmanager does not say what it silences",
        "Alertmanager does not say what it silences",
        "Alertmanager says again what it silences",
    ]


async def test_who_is_cancelled_leaves_the_question_to_the_next() -> None:
    """Nobody waits for an answer that nobody reads any more."""
    async with serving() as bad:
        asked = asking(bad.url("/silent"), timeout=Duration(60))
        first = asyncio.create_task(asked.refresh())
        await asyncio.wait_for(bad.taken.wait(), 10)
        bad.extra["/silent" + PATH] = answer(b"[]")
        second = asyncio.create_task(asked.refresh())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 10)
        assert first.cancelled()
        assert asked.reason(DOWN) is None


async def test_credentials_are_sent_and_told_to_nobody() -> None:
    """Below the path of the URL, as behind a reverse proxy."""
    async with serving() as bad:
        for path in (PATH, "/am" + PATH):
            bad.extra[path] = answer(b"canary-5ecret", status="403 canary-5ecret")
        with_token = asking(bad.url(""), api_token=Secret("canary-5ecret"))
        with_user = asking(bad.url("/am/"), basic_auth=Login(username="me", password=Secret("canary-5ecret")))
        for one in (with_token, with_user):
            await one.refresh()
            assert "403 Forbidden" in (one.reason(DOWN) or "")
            assert "canary" not in (one.reason(DOWN) or "")
        first, second = bad.requests
    assert b"Authorization: Bearer canary-5ecret" in first
    assert second.startswith(b"GET /am/api/v2/silences HTTP/1.1\r\n")
    assert b"Authorization: Basic " + base64.b64encode(b"me:canary-5ecret") in second


@given(
    pattern=st.text("ab.*?+|()[]{1}^$\\i", max_size=12)
    | st.sampled_from(["ab{0}", "ab{0,1}c", "a[b]", "(?i)ab", "a|"]),
    value=st.text("abAB", max_size=5),
)
def test_a_pattern_is_asked_only_of_what_starts_as_it_demands(pattern: str, value: str) -> None:
    """And never matches anything else."""
    try:
        found = Matcher("x", "=~", pattern)
    except ValueError:
        return
    if found.matches({"x": value}):
        assert value.startswith(_start(pattern))


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        ("db-1.*", "db-1"),
        ("db-1+", "db-1"),
        ("db-1?", "db-"),
        ("db-1{2}", "db-"),
        ("db|web", ""),
        ("(db)", ""),
        ("", ""),
    ],
)
def test_a_pattern_demands_a_start(pattern: str, start: str) -> None:
    """So that thousands of patterns can be asked."""
    assert _start(pattern) == start


@pytest.mark.parametrize("operator", ["=", "=~"])
async def test_thousands_of_silences_are_told_apart(operator: str) -> None:
    """Each by its own value, and those that are the same from one answer to the next are read once."""
    clock = FakeClock()
    every = [
        silence(matcher("alertname", "Down"), matcher("instance", f"db-{n}", operator), id=f"s{n}") for n in range(3000)
    ]
    async with serving() as bad:
        told(bad, *every)
        asked = asking(bad.url(""), clock)
        await asked.refresh()
        before = asked._known
        clock.pass_(FRESH)
        await asked.refresh()
        assert before is not None
        assert asked._known is not before
        assert asked._known is not None
        assert all(one is before._read[key] for key, one in asked._known._read.items())
        for n in range(0, 3000, 599):
            assert f"by the silence s{n}," in (asked.reason(DOWN | {"instance": f"db-{n}"}) or "")
        assert asked.reason(DOWN | {"instance": "db-x"}) is None
