from __future__ import annotations

import ast
import asyncio
import base64
import inspect
import statistics
import time

import aiohttp
import bcrypt
import pytest

from exporter.web import auth
from exporter.web.auth import Users, credentials


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("alice:wonderland"), ("alice", "wonderland")),
        (basic("alice:a:b").replace("Basic", "bAsIc"), ("alice", "a:b")),
        (basic("ålice:ø"), ("ålice", "ø")),
        (basic(":"), ("", "")),
        (None, None),
        ("", None),
        ("Basic", None),
        ("Basic !!!", None),
        (basic("alice"), None),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), None),
        ("Bearer " + base64.b64encode(b"a:b").decode(), None),
        ("Basic é", None),
    ],
)
def test_credentials_are_read_or_are_none(header, expected):
    assert credentials(header) == expected


@pytest.fixture
def config(tmp_path, hashed):
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{alice: {hashed}, bob: {hashed.replace('$2b$', '$2y$')}}}\n")
    return path


async def status(session, url, header=None):
    headers = {} if header is None else {"Authorization": header}
    async with session.get(url, headers=headers) as response:
        if response.status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
        return response.status


@pytest.mark.parametrize("path", ["/metrics", "/", "/health/", "/healthz/x", "/static/watchbridge.css", "/nothing"])
async def test_with_users_everything_needs_one_of_them(serve, config, path):
    (url,) = await serve(web_config=config)
    expected = 200 if path in ("/metrics", "/", "/static/watchbridge.css") else 404
    async with aiohttp.ClientSession() as session:
        assert await status(session, url + path) == 401
        assert await status(session, url + path, basic("alice:wonderland")) == expected
        assert await status(session, url + path, basic("bob:wonderland")) == expected
        for wrong in ("alice:wonder", "alice:", "mallory:wonderland", "alice:wonderland\0", ":", "ALICE:wonderland"):
            assert await status(session, url + path, basic(wrong)) == 401
        assert await status(session, url + path, "Basic !!!") == 401


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready", "/health", "/healthz"])
async def test_orchestrators_and_monitors_need_no_user(serve, config, path):
    """Nor are they refused for credentials that are wrong: nobody looks at them."""
    (url,) = await serve(web_config=config)
    async with aiohttp.ClientSession() as session:
        assert await status(session, url + path) == 200
        assert await status(session, url + path, basic("mallory:wrong")) == 200


@pytest.mark.parametrize(("path", "limited"), [("/-/healthy", False), ("/-/ready", False), ("/health", True)])
async def test_only_what_asks_the_store_is_limited(serve, config, path, limited):
    """An orchestrator is never refused; a flood of health documents is."""
    config.write_text(config.read_text() + "rate_limit: {burst: 2, interval: 1h}\n")
    (url,) = await serve(web_config=config)
    async with aiohttp.ClientSession() as session:
        found = [await status(session, url + path) for _ in range(4)]
    assert found == ([200, 200, 429, 429] if limited else [200] * 4)


async def test_a_user_taken_out_of_the_file_is_out(serve, services, config, hashed, monkeypatch):
    monkeypatch.setattr("exporter.web.access._LOOK_EVERY", 0.0)
    (url,) = await serve(web_config=config)
    async with aiohttp.ClientSession() as session:
        assert await status(session, f"{url}/metrics", basic("alice:wonderland")) == 200
        config.write_text(f"basic_auth_users: {{bob: {hashed}}}\n")
        assert await status(session, f"{url}/metrics", basic("alice:wonderland")) == 401


async def test_a_right_password_is_checked_once_and_remembered(hashed, monkeypatch):
    checks = []
    real = auth._matches
    monkeypatch.setattr(auth, "_matches", lambda *given: checks.append(given) or real(*given))
    users = Users()
    for _ in range(5):
        assert await users.admit({"alice": hashed}, "alice", "wonderland")
    assert len(checks) == 1


async def test_a_changed_hash_is_not_remembered_as_the_old_one(hashed):
    users = Users()
    assert await users.admit({"alice": hashed}, "alice", "wonderland")
    other = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
    assert not await users.admit({"alice": other}, "alice", "wonderland")


@pytest.mark.parametrize(
    ("user", "password"), [("al", "icewonderland"), ("alicewonder", "land"), ("alice", "wonderland" + "x")]
)
async def test_no_other_split_of_remembered_texts_gets_in(hashed, user, password):
    """CVE-2022-46146: a cache key of plainly joined texts let others in."""
    users = Users()
    assert await users.admit({"alice": hashed}, "alice", "wonderland")
    assert not await users.admit({"alice": hashed, user + "!": hashed}, user, password)


async def test_passwords_are_cut_at_72_bytes_as_go_cuts_them():
    hashed = bcrypt.hashpw(b"p" * 72, bcrypt.gensalt(4)).decode()
    assert await Users().admit({"alice": hashed}, "alice", "p" * 100)
    assert not await Users().admit({"alice": hashed}, "alice", "p" * 71)


async def test_what_is_remembered_is_bounded(hashed):
    users, listed = Users(), {f"user{n}": hashed for n in range(auth._REMEMBERED + 20)}
    await asyncio.gather(*(users.admit(listed, name, "wonderland") for name in list(listed)[:20]))
    for name in listed:
        await users.admit(listed, name, "wonderland")
    assert len(users._known) == auth._REMEMBERED


@pytest.mark.alone
async def test_an_unknown_user_takes_as_long_as_a_known_one():
    """The time of a refusal must not tell which users exist."""
    listed, users = {"alice": bcrypt.hashpw(b"x", bcrypt.gensalt(8)).decode()}, Users()
    taken = {"alice": [], "mallory": []}
    for _ in range(15):
        for name, times in taken.items():
            began = time.perf_counter()
            assert not await users.admit(listed, name, "wrong")
            times.append(time.perf_counter() - began)
    known, unknown = (min(times) for times in taken.values())
    assert unknown == pytest.approx(known, rel=0.3), {name: statistics.median(each) for name, each in taken.items()}


async def test_a_flood_of_wrong_passwords_is_503_and_those_known_still_get_in(hashed, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(auth, "_PATIENCE", 0.2)
    dear = bcrypt.hashpw(b"other", bcrypt.gensalt(11)).decode()
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{alice: {hashed}, eve: {dear}}}\n")
    (url,) = await serve(web_config=path)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.timeout(30):
        assert await status(session, f"{url}/metrics", basic("alice:wonderland")) == 200
        flood = [asyncio.create_task(status(session, f"{url}/metrics", basic(f"eve:{n}"))) for n in range(60)]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        assert await status(session, f"{url}/metrics", basic("alice:wonderland")) == 200
        found = await asyncio.gather(*flood)
    assert set(found) == {401, 503}


def test_hashes_are_compared_in_constant_time():
    called = {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(ast.parse(inspect.getsource(auth)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    }
    assert "hmac.compare_digest" in called
