"""Health documents of every dialect are understood both ways; what is none says nothing; nothing raises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.labels import LIMIT
from exporter.verdict import MOST_COMPONENTS, Verdict, of_body, of_code, worse
from exporter.verdict.bodies import LARGEST
from exporter.verdict.words import TABLE

if TYPE_CHECKING:
    from exporter.model import State

JSON = "application/json"
STAMP = {"timestamp": "2025-10-29T10:00:00.000Z", "version": "1.2.3", "uptime": 3600}


def said(document: Any, content_type: str = JSON) -> Verdict | None:
    return of_body(json.dumps(document).encode(), content_type)


def parts(verdict: Verdict | None) -> dict[str, State]:
    assert verdict is not None
    return {part.name: part.state for part in verdict.components}


def nested(*names: str) -> dict[str, Any]:
    inner: Any = "down"
    for name in reversed(names):
        inner = {"checks": {name: inner}}
    return {"status": "ok"} | inner


# Every shape of the source system's document (S4.48-S4.58), with its components, both ways.
SOURCE = [
    pytest.param({"status": "healthy", **STAMP}, "up", {}, id="basic, healthy"),
    pytest.param(
        {
            "status": "unhealthy",
            "error": "Database connection failed",
            "details": {"database": "disconnected", "cache": "healthy"},
        },
        "down",
        {"database": "down", "cache": "up"},
        id="basic, unhealthy",
    ),
    pytest.param(
        {
            "status": "healthy",
            "checks": {
                "database": {"status": "healthy", "response_time": 45, "details": "PostgreSQL 14.2 connected"},
                "redis": {"status": "healthy", "response_time": 12, "details": "Redis 6.2 connected"},
            },
            "metrics": {"memory_usage": "256MB", "cpu_usage": "15%", "active_connections": 42},
        },
        "up",
        {"database": "up", "redis": "up"},
        id="detailed, healthy",
    ),
    pytest.param(
        {"status": "healthy", "checks": {"database": {"status": "unhealthy", "response_time": 45}}},
        "down",
        {"database": "down"},
        id="detailed, a component down",
    ),
    pytest.param({"status": "ok"}, "up", {}, id="healthz, ok"),
    pytest.param({"status": "error"}, "down", {}, id="healthz, error"),
    pytest.param(
        {"status": "healthy", "services": {"auth": "up", "user": "up"}, "response_time": 150},
        "up",
        {"auth": "up", "user": "up"},
        id="gateway, all up",
    ),
    pytest.param(
        {"status": "healthy", "services": {"auth": "up", "user": "up", "payment": "degraded"}, "response_time": 150},
        "degraded",
        {"auth": "up", "user": "up", "payment": "degraded"},
        id="gateway, healthy with a degraded component",
    ),
    pytest.param(
        {
            "status": "healthy",
            "database": {"connections": 15, "active_queries": 3, "slow_queries": 0},
            "replication": {"status": "healthy", "lag_seconds": 0},
        },
        "up",
        {"replication": "up"},
        id="database, replication healthy",
    ),
    pytest.param(
        {"status": "healthy", "database": {"connections": 15}, "replication": {"status": "error", "lag_seconds": 900}},
        "down",
        {"replication": "down"},
        id="database, replication in error",
    ),
    pytest.param(
        {"status": "healthy", "service": "user-service", "dependencies": {"database": "healthy", "cache": "healthy"}},
        "up",
        {"database": "up", "cache": "up"},
        id="microservice, healthy",
    ),
    pytest.param(
        {"status": "healthy", "service": "user-service", "dependencies": {"database": "healthy", "cache": "warning"}},
        "degraded",
        {"database": "up", "cache": "degraded"},
        id="microservice, a dependency warns",
    ),
    pytest.param(
        {"status": "healthy", "checks": {"database": "healthy", "cache": "healthy"}},
        "up",
        {"database": "up", "cache": "up"},
        id="Express and FastAPI, words, healthy",
    ),
    pytest.param(
        {"status": "unhealthy", "checks": {"database": "unhealthy", "redis": "healthy"}},
        "down",
        {"database": "down", "redis": "up"},
        id="Express and FastAPI, words, unhealthy",
    ),
    pytest.param(
        {"status": "healthy", "checks": {"database": True, "redis": True}},
        "up",
        {"database": "up", "redis": "up"},
        id="Go, booleans, healthy",
    ),
    pytest.param(
        {"status": "healthy", "checks": {"database": True, "redis": False}},
        "down",
        {"database": "up", "redis": "down"},
        id="Go, booleans, one false",
    ),
]

DIALECTS = [
    pytest.param(
        {
            "status": "pass",
            "checks": {
                "cassandra:responseTime": [{"componentType": "datastore", "observedValue": 250, "status": "pass"}],
                "uptime": [{"componentType": "system", "observedValue": 1209600.245, "status": "pass"}],
            },
        },
        "up",
        {"cassandra:responseTime": "up", "uptime": "up"},
        id="health+json, pass",
    ),
    pytest.param(
        {
            "status": "warn",
            "checks": {"cpu:utilization": [{"node": 1, "status": "pass"}, {"node": 2, "status": "warn"}]},
        },
        "degraded",
        {"cpu:utilization": "degraded"},
        id="health+json, warn",
    ),
    pytest.param(
        {
            "status": "pass",
            "checks": {"cpu:utilization": [{"status": "fail"}, {"status": "pass"}], "x": [{}, 1, "fail"]},
        },
        "down",
        {"cpu:utilization": "down"},
        id="health+json, a check fails",
    ),
    pytest.param({"status": "fail", "output": "out of memory"}, "down", {}, id="health+json, fail"),
    pytest.param(
        {
            "status": "UP",
            "components": {
                "db": {"status": "UP", "details": {"database": "H2", "validationQuery": "isValid()"}},
                "diskSpace": {"status": "UP", "details": {"total": 9, "free": 3, "exists": False}},
                "ping": {"status": "UP"},
            },
        },
        "up",
        {"db": "up", "diskSpace": "up", "ping": "up"},
        id="Spring Boot, up, facts in details count for nothing",
    ),
    pytest.param(
        {
            "status": "DOWN",
            "components": {"db": {"status": "DOWN", "components": {"a": {"status": "UP"}, "b": {"status": "DOWN"}}}},
        },
        "down",
        {"db": "down", "db/a": "up", "db/b": "down"},
        id="Spring Boot, down, nested components",
    ),
    pytest.param({"status": "OUT_OF_SERVICE"}, "down", {}, id="Spring Boot, out of service"),
    pytest.param(
        {"status": "UP", "components": {"x": {"status": "UNKNOWN"}, "y": {"status": "UP"}}},
        "up",
        {"y": "up"},
        id="Spring Boot, an unknown component counts for nothing",
    ),
    pytest.param(
        {"status": "UNKNOWN", "components": {"y": {"status": "OUT_OF_SERVICE"}}},
        "down",
        {"y": "down"},
        id="Spring Boot, unknown with a component out of service",
    ),
    pytest.param(
        {
            "status": "DOWN",
            "details": {"db": {"status": "DOWN", "details": {"first": {"status": "DOWN"}, "second": {"status": "UP"}}}},
        },
        "down",
        {"db": "down", "db/first": "down", "db/second": "up"},
        id="Spring Boot before 2.2, details in details",
    ),
    pytest.param(
        {
            "status": "Healthy",
            "totalDuration": "00:00:00.0500000",
            "entries": {"sql": {"data": {}, "duration": "00:00:00.01", "status": "Healthy", "tags": ["db"]}},
        },
        "up",
        {"sql": "up"},
        id="ASP.NET Core, healthy",
    ),
    pytest.param(
        {"status": "Degraded", "results": {"sql": {"status": "Degraded", "description": "slow", "data": {}}}},
        "degraded",
        {"sql": "degraded"},
        id="ASP.NET Core, Microsoft's example, degraded",
    ),
    pytest.param(
        {"Status": "Unhealthy", "TotalDuration": "00:00:01", "Entries": {"sql": {"Status": "Unhealthy", "Data": {}}}},
        "down",
        {"sql": "down"},
        id="ASP.NET Core, capitals, unhealthy",
    ),
    pytest.param(
        {"Status": 2, "TotalDuration": "00:00:01", "Entries": {"sql": {"Status": 2}}},
        "up",
        {"sql": "up"},
        id="ASP.NET Core, numbers, healthy",
    ),
    pytest.param(
        {"Status": 0, "TotalDuration": "00:00:01", "Entries": {"sql": {"Status": 0}, "bus": {"Status": 1}}},
        "down",
        {"sql": "down", "bus": "degraded"},
        id="ASP.NET Core, numbers, unhealthy",
    ),
    pytest.param(
        {"status": "UP", "checks": [{"name": "live", "status": "UP", "data": {"free": "1GB"}}]},
        "up",
        {"live": "up"},
        id="MicroProfile, up",
    ),
    pytest.param(
        {"status": "DOWN", "checks": [{"name": "live", "status": "UP"}, {"name": "db", "status": "DOWN"}]},
        "down",
        {"live": "up", "db": "down"},
        id="MicroProfile, down",
    ),
    pytest.param({"status": "UP", "checks": []}, "up", {}, id="MicroProfile, no checks"),
    pytest.param({"status": "UP", "checks": [{"status": "DOWN"}]}, "down", {"checks[0]": "down"}, id="a check unnamed"),
    pytest.param(
        {"status": "ok", "info": {"db": {"status": "up"}}, "error": {}, "details": {"db": {"status": "up"}}},
        "up",
        {"db": "up"},
        id="Terminus, ok",
    ),
    pytest.param(
        {
            "status": "error",
            "info": {"db": {"status": "up"}},
            "error": {"dns": {"status": "down", "message": "getaddrinfo ENOTFOUND"}},
            "details": {"db": {"status": "up"}, "dns": {"status": "down", "message": "getaddrinfo ENOTFOUND"}},
        },
        "down",
        {"db": "up", "dns": "down"},
        id="Terminus, error",
    ),
    pytest.param({"status": "shutting_down", "info": {}, "error": {}, "details": {}}, "down", {}, id="Terminus, going"),
]

EDGES = [
    pytest.param({"status": True}, "up", {}, id="a boolean status, true"),
    pytest.param({"status": False}, "down", {}, id="a boolean status, false"),
    pytest.param({"checks": {"db": "ok"}}, "up", {"db": "up"}, id="no status but checks"),
    pytest.param({"checks": {"db": False}}, "down", {"db": "down"}, id="no status and a check that is false"),
    pytest.param({"status": "starting", "checks": {"db": "warn"}}, "degraded", {"db": "degraded"}, id="unknown status"),
    pytest.param({"status": "ok", "details": {"debug": False, "version": "1"}}, "up", {}, id="facts in details"),
    pytest.param(
        {"status": "ok", "details": {"db": True, "bus": False}},
        "down",
        {"db": "up", "bus": "down"},
        id="details of booleans only",
    ),
    pytest.param({"status": "ok", "checks": {"db": None, "n": 0, "t": ["down"]}}, "up", {}, id="no component's shape"),
    pytest.param({"status": "ok", "checks": {"": "up"}}, "up", {"__empty__": "up"}, id="a component without a name"),
    pytest.param({"status": "ok", "lag": {"status": 0}}, "up", {}, id="numbers mean nothing elsewhere"),
    pytest.param(nested("a", "b", "c", "d"), "down", {"a/b/c/d": "down"}, id="as deep as is looked"),
    pytest.param(nested("a", "b", "c", "d", "e"), "up", {}, id="deeper than is looked"),
]


@pytest.mark.parametrize(("document", "state", "components"), [*SOURCE, *DIALECTS, *EDGES])
def test_a_health_document_has_its_state_and_components(
    document: dict[str, Any], state: State, components: dict[str, State]
) -> None:
    verdict = said(document)
    assert verdict is not None
    assert verdict.state == state
    assert parts(verdict) == components
    assert verdict.cause == ("" if state == "up" else "health")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="nothing in it"),
        pytest.param({"status": "starting"}, id="an unknown word"),
        pytest.param({"status": "UNKNOWN"}, id="Spring's unknown"),
        pytest.param({"status": 1}, id="a number"),
        pytest.param({"status": None}, id="null"),
        pytest.param({"state": "down"}, id="another key"),
        pytest.param({"id": 5, "name": "x"}, id="some answer of an API"),
        pytest.param({"results": [{"name": "job", "status": "failed"}]}, id="a list of an API"),
        pytest.param({"services": [{"name": "job", "status": "failed"}]}, id="another list of an API"),
        pytest.param({"details": {"db": {"status": "down"}}}, id="details alone"),
        pytest.param([{"status": "down"}], id="an array"),
        pytest.param("down", id="a string of JSON"),
    ],
)
def test_what_is_no_health_document_says_nothing(document: Any) -> None:
    assert said(document) is None


@pytest.mark.parametrize("word", TABLE, ids=lambda word: word.text)
def test_each_word_of_the_table_means_its_state_wherever_it_stands(word: Any) -> None:
    spelled = [word.text, word.text.upper(), word.text.title(), f" {word.text}\n"]
    spelled += [word.text.replace("_", "-"), word.text.replace("_", " ")]
    for text in spelled:
        assert of_body(text.encode(), "text/plain; charset=utf-8").state == word.state
        assert said({"status": text}).state == word.state
        assert said({"status": "ok", "checks": {"db": text}}).state == word.state
        assert parts(said({"status": "ok", "checks": {"db": {"status": text}}})) == {"db": word.state}


@pytest.mark.parametrize(
    ("body", "content_type", "state"),
    [
        pytest.param(b"Healthy", "text/plain", "up", id="ASP.NET Core, healthy"),
        pytest.param(b"Degraded", "text/plain", "degraded", id="ASP.NET Core, degraded"),
        pytest.param(b"Unhealthy", "text/plain", "down", id="ASP.NET Core, unhealthy"),
        pytest.param(b"OK\r\n", "Text/Plain;charset=UTF-8", "up", id="OK on a line"),
        pytest.param(b"\xef\xbb\xbfOK", "text/plain", "up", id="a byte order mark"),
        pytest.param(b"OK", "text/html", None, id="HTML"),
        pytest.param(b"OK", "", None, id="no content type"),
        pytest.param(b"OK", JSON, None, id="JSON it is not"),
        pytest.param(b"OK computer", "text/plain", None, id="two words"),
        pytest.param(b"true", "text/plain", None, id="no boolean in plain text"),
        pytest.param(b"", "text/plain", None, id="empty"),
        pytest.param(b"OK" + b" " * 100, "text/plain", None, id="longer than a word"),
        pytest.param(b"\xff\xfe", "text/plain", None, id="no UTF-8"),
        pytest.param(b'{"status":"down"}', "text/plain; charset=utf-8", "down", id="Go's guess of JSON"),
        pytest.param(b'{"status":"down"}', "application/health+json", "down", id="health+json"),
        pytest.param(b'{"status":"down"}', "", "down", id="JSON without a type"),
        pytest.param(b' \r\n\t{"status":"down"}\n', JSON, "down", id="space before"),
        pytest.param(b'\xef\xbb\xbf{"status":"down"}', JSON, "down", id="a byte order mark before JSON"),
        pytest.param(b'{"status":"down","x":"\xe9"}', JSON, "down", id="Latin-1 beside the status"),
        pytest.param(b'{"status":"up","status":"down"}', JSON, "down", id="a key twice: the later one"),
        pytest.param(b'{"status":"down","x":NaN,"y":-Infinity}', JSON, "down", id="numbers that JSON has not"),
        pytest.param(b'{"status":"down","x":' + b"9" * 10_000 + b"}", JSON, "down", id="a number of many digits"),
        pytest.param(b'{"status":"down","x":"a\nb"}', JSON, "down", id="a line end in a text"),
        pytest.param(b'{"status":"down","x":"\\ud800"}', JSON, "down", id="a lone surrogate"),
        pytest.param(b'{"status":"down"', JSON, None, id="cut off"),
        pytest.param(b'{"status":"down"} {}', JSON, None, id="more behind"),
        pytest.param(b'{"x":' * 100_000, JSON, None, id="too large"),
        pytest.param(b'{"x":' * 50_000 + b"1" + b"}" * 5, JSON, None, id="too deep"),
        pytest.param(b'{"status":"down","x":' + b"[" * 100_000, JSON, None, id="too deep beside the status"),
        pytest.param(b'{"status":"down","x":"' + b"a" * LARGEST + b'"}', JSON, None, id="larger than is read"),
    ],
)
def test_a_body_is_read_by_its_bytes(body: bytes, content_type: str, state: State | None) -> None:
    verdict = of_body(body, content_type)
    assert (verdict and verdict.state) == state


def test_names_of_components_are_safe_label_values() -> None:
    found = of_body(b'{"status":"ok","checks":{"\\ud800":"up","' + b"n" * 999 + b'":"up"}}', JSON)
    assert set(parts(found)) == {"\ufffd", "n" * (LIMIT - 1) + "…"}


def test_of_many_components_the_worst_are_kept_and_all_are_judged() -> None:
    checks: dict[str, Any] = {f"c{number}": "up" for number in range(500)} | {"last": {"status": "down"}}
    found = said({"status": "ok", "checks": checks})
    assert found is not None
    assert found.state == "down"
    assert len(found.components) == MOST_COMPONENTS
    assert found.components[0].name == "last"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param({"status": "Healthy"}, "the body says healthy", id="up"),
        pytest.param(
            {"status": "ok", "checks": {"db": "warn"}}, "the body says ok, but degraded: db", id="one component"
        ),
        pytest.param(
            {"status": "fail", "checks": dict.fromkeys("abcde", "down") | {"f": "up"}},
            "the body says fail; down: a, b, c and 2 more",
            id="many components",
        ),
        pytest.param({"checks": {"db": False}}, "the body has no status that is known; down: db", id="no status"),
    ],
)
def test_the_reason_names_the_word_and_the_worst_components(document: dict[str, Any], reason: str) -> None:
    verdict = said(document)
    assert verdict is not None
    assert verdict.reason == reason


@pytest.mark.parametrize(
    ("code", "document", "state"),
    [
        pytest.param(
            200, {"status": "unhealthy", "checks": {"db": "unhealthy"}}, "down", id="FastAPI's 200, unhealthy"
        ),
        pytest.param(503, {"status": "ok"}, "down", id="503 with ok"),
        pytest.param(503, {"status": "unhealthy"}, "down", id="503 with unhealthy"),
        pytest.param(429, {"status": "ok"}, "degraded", id="429 with ok"),
        pytest.param(200, {"status": "warning"}, "degraded", id="200 with warning"),
        pytest.param(200, {"status": "ok"}, "up", id="200 with ok"),
    ],
)
def test_the_worse_of_code_and_body_wins(code: int, document: dict[str, Any], state: State) -> None:
    body = said(document)
    assert body is not None
    assert worse(of_code(code, None), body).state == state


words = st.sampled_from([word.text for word in TABLE]) | st.text(max_size=5)
keys = st.sampled_from(["status", "Status", "checks", "details", "entries", "components", "totalDuration", "name"])
leaves = st.none() | st.booleans() | st.floats() | st.integers() | words
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=4)
)


@given(st.binary(max_size=200), st.sampled_from([JSON, "text/plain", "", "\ud800"]))
def test_no_bytes_raise(body: bytes, content_type: str) -> None:
    for one in (body, b"{" + body, b'{"status":"down",' + body + b"}"):
        of_body(one, content_type)


@given(st.dictionaries(keys | st.text(max_size=3), values, max_size=6))
def test_no_document_raises_and_what_it_says_is_bounded(document: dict[str, Any]) -> None:
    verdict = said(document)
    if verdict is not None:
        assert verdict.state in {"up", "degraded", "down"}
        assert len(verdict.components) <= MOST_COMPONENTS
        assert all(1 <= len(part.name) <= LIMIT for part in verdict.components)
        assert all(part.state in {"up", verdict.state, "degraded"} for part in verdict.components)
        assert verdict.reason.encode()
