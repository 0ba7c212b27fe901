from __future__ import annotations

import asyncio
import json
import logging
import re

import aiohttp
import pytest

from exporter.web.middleware import _SECURITY_HEADERS

GET = b"GET /-/healthy HTTP/1.1\r\n"


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


MALFORMED = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {400}),
    "CL and TE": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "two CL": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
    "a bad CL": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {400}),
    "two hosts": (GET + b"Host: x\r\nHost: y\r\n\r\n", {400}),
    "no host": (GET + b"\r\n", {400}),
    "a long header": (GET + b"Host: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", {400, 431}),
    "a long line": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414, 431}),
    "many headers": (GET + b"Host: x\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(300)) + b"\r\n", {400, 431}),
    "a NUL in a header": (GET + b"Host: x\r\nX: a\x00b\r\n\r\n", {400}),
    "a bad chunk": (b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
    "a space before the colon": (GET + b"Host : x\r\n\r\n", {400}),
    "an unknown version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505}),
}


@pytest.mark.parametrize(("data", "statuses"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_request_is_a_problem_without_its_text_and_closed(serve, talk, data, statuses):
    (url,) = await serve()
    answer = await talk(url, data)
    assert status_of(answer) in statuses
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"\r\nServer:" not in head
    assert json.loads(body)["status"] == status_of(answer)
    assert b"aaaa" not in body
    assert b"Traceback" not in body


async def test_a_flood_of_malformed_requests_is_two_log_lines_at_most(serve, talk, caplog):
    (url,) = await serve()
    for _ in range(50):
        await talk(url, b"GARBAGE\r\n\r\n")
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(lines) <= 2
    assert not any(record.exc_info for record in lines)
    assert "GARBAGE" not in caplog.text


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"TRACE /metrics", 405),
        (b"PROPFIND /metrics", 405),
        (b"BREW /metrics", 400),
        (b"POST /metrics", 405),
        (b"DELETE /-/healthy", 405),
        (b"OPTIONS /metrics", 405),
        (b"GET //metrics", 404),
        (b"GET /%2e%2e/etc/passwd", 404),
        (b"GET /static/../../auth.py", 404),
        (b"GET /static/%2e%2e/auth.py", 404),
        (b"GET /static/..%2fauth.py", 404),
        (b"GET /static/", 404),
        (b"GET /metrics%00", 404),
        (b"GET /metrics/", 404),
        (b"GET http://elsewhere.example/metrics", 200),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
async def test_odd_methods_and_paths_find_nothing_they_should_not(serve, talk, line, status):
    (url,) = await serve()
    answer = await talk(url, line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == status
    if status == 405:
        assert b"\r\nAllow: " in answer


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        (b"TRACE", b"/metrics", 405, {"GET", "HEAD"}),
        (b"PROPFIND", b"/-/healthy", 405, {"GET", "HEAD"}),
        (b"TRACE", b"/-/reload", 405, {"POST"}),
        (b"DELETE", b"/-/reload", 405, {"POST"}),
        (b"TRACE", b"/nowhere", 404, None),
    ],
)
async def test_what_a_path_takes_is_said_for_that_path(serve, talk, method, path, status, allowed):
    """RFC 9110 15.5.6: Allow lists what the target takes, whatever method was tried."""
    (url,) = await serve()
    answer = await talk(url, method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == status
    found = re.search(rb"\r\nAllow: ([^\r]*)", answer)
    assert (found and set(re.split(r",\s*", found[1].decode()))) == allowed


async def test_a_method_override_overrides_nothing(serve, services):
    (url,) = await serve()
    headers = {"X-HTTP-Method-Override": "POST"}
    async with aiohttp.request("GET", f"{url}/-/reload", headers=headers) as response:
        assert (response.status, services.reloads) == (405, 0)


async def test_a_thousand_pipelined_requests_are_each_answered_in_order(serve):
    (url,) = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    last = b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write((GET + b"Host: x\r\n\r\n") * 999 + last)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 1000
    assert answer.endswith(b"Watchbridge is Ready.\n")


async def test_every_answer_has_the_security_headers_and_names_no_server(serve):
    (url,) = await serve()
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/metrics", "/health", "/nothing"):
            async with session.get(url + path) as response:
                for name, value in _SECURITY_HEADERS.items():
                    assert response.headers[name] == value
                assert "Server" not in response.headers
                assert "Strict-Transport-Security" not in response.headers


async def test_headers_of_the_web_configuration_win(serve, tmp_path):
    path = tmp_path / "web.yml"
    path.write_text("http_server_config: {headers: {X-Frame-Options: sameorigin, X-XSS-Protection: '0'}}\n")
    (url,) = await serve(web_config=path)
    async with aiohttp.request("GET", url) as response:
        assert response.headers["X-Frame-Options"] == "sameorigin"
        assert response.headers["X-XSS-Protection"] == "0"


async def test_what_nobody_expected_is_500_with_an_id_that_the_log_has(serve, services, caplog):
    services.error = RuntimeError("password=hunter2")
    (url,) = await serve()
    async with aiohttp.request("GET", f"{url}/metrics") as response:
        body = await response.json(content_type=None)
        assert response.status == 500
        assert "hunter2" not in str(body)
        assert "Traceback" not in str(body)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.fields["request_id"] == body["request_id"]
    assert re.fullmatch(r"[0-9a-f]{16}", body["request_id"])


async def test_access_is_logged_for_debugging_only_and_without_the_query(serve, caplog):
    (url,) = await serve()
    for level, count in ((logging.INFO, 0), (logging.DEBUG, 1)):
        caplog.clear()
        with caplog.at_level(level):
            async with aiohttp.request("GET", f"{url}/-/healthy?token=secret") as response:
                assert response.status == 200
        lines = [record for record in caplog.records if record.name == "exporter.web.middleware"]
        assert len(lines) == count
    assert lines[0].fields["path"] == "/-/healthy"
