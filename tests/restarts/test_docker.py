"""A container is restarted by the engine, if it is the one that is named, and its own state says whether it runs."""

from __future__ import annotations

import asyncio
import json
from socket import AF_UNIX
from socket import socket as system_socket
from typing import TYPE_CHECKING, Any

import pytest
from restarts.configured import ITEM, PARTS, mistakes, options
from servers.badhttp import RAW, answer
from servers.dockerd import Engine, bad_engine, engine
from servers.programs import short_folder

from exporter.model import Done, GiveUp, Outcome, Reading, Retry
from exporter.outbound.requests import MESSAGE
from exporter.restarts import docker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

DEADLINE = 0.5


@pytest.fixture
def socket() -> Iterator[Path]:
    """Give a path for a socket: that of a test's own folder may be too long for one."""
    with short_folder() as folder:
        yield folder / "docker.sock"


@pytest.fixture
async def dockerd(socket: Path) -> AsyncIterator[Engine]:
    """Give an engine with a container `web`."""
    async with engine(socket) as started:
        started.add("web", id="cafe" * 16)
        yield started


def made(socket: Path, container: str = "web", **keys: Any) -> Any:
    """Return options for a container."""
    return options({"kind": "docker", "container": container, "socket": str(socket), **keys})


async def restart(socket: Path, container: str = "web", *, timeout: float = 10.0, **keys: Any) -> Outcome:
    """Restart a container."""
    return await docker.restart(made(socket, container, **keys), ITEM, PARTS, timeout)


async def verify(socket: Path, container: str = "web", timeout: float = 10.0) -> Reading:
    """Look at a container."""
    return await docker.verify(made(socket, container), PARTS, timeout)


async def test_the_plan_is_what_is_asked_of_the_engine(dockerd: Engine) -> None:
    """After a look at whether it is this container."""
    outcome = await restart(dockerd.socket, stop_timeout="1500ms")
    assert outcome == Done("the container web was restarted")
    assert dockerd.containers["web"].restarts == 1
    planned = docker.plan(made(dockerd.socket, stop_timeout="1500ms"))
    asked = f"{planned.details['method']} {planned.details['path']}"
    assert dockerd.requests == ["GET /containers/web/json", asked]
    assert asked == "POST /containers/web/restart?t=2"
    assert planned.sentence == f"docker -H unix://{dockerd.socket} restart -t 2 web"
    assert planned.details["socket"] == str(dockerd.socket)


def test_the_plan_of_the_usual_engine_names_no_socket() -> None:
    found = docker.plan(options({"kind": "docker", "container": "web"}))
    assert found.sentence == "docker restart -t 10 web"
    assert found.details["socket"] == "/var/run/docker.sock"


async def test_only_the_very_container_is_restarted(dockerd: Engine) -> None:
    """The engine also finds containers by the beginning of their id: that may be a stranger's."""
    refused = await restart(dockerd.socket, "cafe")
    assert isinstance(refused, GiveUp)
    assert refused.detail.startswith("there is no container 'cafe', only one whose id begins so")
    assert (await verify(dockerd.socket, "cafe")).cause == "absent"
    assert not any(line.startswith("POST") for line in dockerd.requests)
    for name in ("cafe" * 16, "cafe" * 3, "web"):
        assert isinstance(await restart(dockerd.socket, name), Done), name
    dockerd.add("cafe")
    assert isinstance(await restart(dockerd.socket, "cafe"), Done)
    assert (dockerd.containers["web"].restarts, dockerd.containers["cafe"].restarts) == (3, 1)


async def test_a_container_that_is_not_there_is_given_up(dockerd: Engine) -> None:
    assert await restart(dockerd.socket, "worker") == GiveUp(
        f"there is no container 'worker' at {dockerd.socket}: check its name"
    )
    seen = await verify(dockerd.socket, "worker")
    assert (seen.state, seen.cause) == ("down", "absent")


REFUSALS = [
    pytest.param(409, Retry, "409 Conflict: ", id="409"),
    pytest.param(500, Retry, "500 Internal Server Error: ", id="500"),
    pytest.param(403, GiveUp, "403 Forbidden: ", id="403"),
    pytest.param(400, GiveUp, "400 Bad Request: ", id="400"),
    pytest.param(404, GiveUp, "there is no container 'web'", id="removed between"),
]


@pytest.mark.parametrize(("code", "kind", "words"), REFUSALS)
async def test_the_code_and_the_engines_message_are_the_outcome(
    dockerd: Engine, code: int, kind: type, words: str
) -> None:
    """On one line, up to a bound."""
    message = "Bind for 0.0.0.0:80 failed:\nport is\x1b[31m already allocated"
    dockerd.containers["web"].trouble = (code, message)
    outcome = await restart(dockerd.socket)
    assert type(outcome) is kind
    assert words in outcome.detail
    assert outcome.detail.isprintable()
    if code != 404:
        assert outcome.detail.endswith("Bind for 0.0.0.0:80 failed: port is\ufffd[31m already allocated")
    dockerd.containers["web"].trouble = (code, "x" * 100_000)
    assert len((await restart(dockerd.socket)).detail) < MESSAGE + 200


HEALTH = "the container runs and is"
STATES = [
    pytest.param({}, "up", "the container runs; it has no health check", "", id="running"),
    pytest.param({"Health": {"Status": "none"}}, "up", "the container runs; it has no health check", "", id="none"),
    pytest.param({"Health": {"Status": "healthy"}}, "up", f"{HEALTH} healthy", "", id="healthy"),
    pytest.param({"Health": {"Status": "starting"}}, "down", f"{HEALTH} not healthy yet", "health", id="starting"),
    pytest.param({"Health": {"Status": "unhealthy"}}, "down", f"{HEALTH} unhealthy", "health", id="unhealthy"),
    pytest.param({"Health": {"Status": "what"}}, "down", f"{HEALTH} unhealthy", "health", id="a new word"),
    pytest.param({"Health": 7}, "up", "the container runs; it has no health check", "", id="no object"),
    pytest.param({"Paused": True}, "down", "the container is paused", "exit", id="paused"),
    pytest.param(
        {"Running": False, "ExitCode": 1}, "down", "the container does not run (exit status 1)", "exit", id="exited"
    ),
    pytest.param(
        {"Running": False, "ExitCode": 137, "OOMKilled": True},
        "down",
        "the container does not run (exit status 137, killed as its memory was used up)",
        "exit",
        id="out of memory",
    ),
    pytest.param(
        {"Restarting": True, "ExitCode": 3},
        "down",
        "the container died, and waits to be started again by its restart policy (exit status 3)",
        "exit",
        id="restarting",
    ),
    pytest.param({"Running": "yes"}, "down", "the container does not run (exit status 0)", "exit", id="no boolean"),
]


@pytest.mark.parametrize(("state", "wanted", "reason", "cause"), STATES)
async def test_the_state_is_the_reading(
    dockerd: Engine, state: dict[str, Any], wanted: str, reason: str, cause: str
) -> None:
    dockerd.containers["web"].state = state
    seen = await verify(dockerd.socket)
    assert (seen.state, seen.reason, seen.cause) == (wanted, reason, cause)
    assert not any(line.startswith("POST") for line in dockerd.requests)


async def test_a_container_that_died_since_its_restart_is_down() -> None:
    """The policy that starts it again counts; a restart that somebody asked for begins to count anew."""
    with short_folder() as folder:
        async with engine(folder / "s") as dockerd:
            dockerd.add("web").restart_count = 3
            seen = await verify(dockerd.socket)
            assert (seen.state, seen.cause) == ("down", "exit")
            assert seen.reason.endswith("its restart policy started it again 3 times")
            assert isinstance(await restart(dockerd.socket), Done)
            assert (await verify(dockerd.socket)).state == "up"


FOUND = answer(json.dumps({"Name": "/web", "State": {"Running": True}}).encode())
NO_JSON = "answered with something that is no whole JSON object"
BROKEN = [
    pytest.param(b"", "closed the connection without an answer", id="closed"),
    pytest.param(bytes(range(256)) * 4, "answered with something that is no HTTP", id="garbage"),
    pytest.param(RAW["/big-head"], "answered with something that is no HTTP", id="a head of 70 kB"),
    pytest.param(None, "did not answer within 0.5 s", id="silent"),
    pytest.param(RAW["/ok"], NO_JSON, id="no JSON"),
    pytest.param(answer(b"[" * 100_000), NO_JSON, id="deep"),
    pytest.param(answer(b"[]"), NO_JSON, id="no object"),
    pytest.param(answer(b'{"Name": "/web"', length=4000), NO_JSON, id="cut"),
    pytest.param(answer(b'{"Name": "/web", "x": "' + b"x" * docker.DOCUMENT + b'"}'), NO_JSON, id="huge"),
    pytest.param(RAW["/html"], "answered 500 Internal Server Error", id="500 in HTML"),
    pytest.param(RAW["/moved-nowhere"], "answered 302 Found", id="a redirect"),
]


@pytest.mark.parametrize(("raw", "sentence"), BROKEN)
async def test_what_is_no_engine_is_not_asked_to_restart(socket: Path, raw: bytes | None, sentence: str) -> None:
    """It is another attempt, in time, in our words; nothing is known of the container."""
    async with asyncio.timeout(8), bad_engine(socket, GET=raw) as bad:
        assert await restart(socket, timeout=DEADLINE) == Retry(f"{socket} {sentence}")
        seen = await verify(socket, timeout=DEADLINE)
        assert (seen.state, seen.reason, seen.cause) == ("unknown", f"{socket} {sentence}", "system")
        await bad.over.wait()
        assert all(line.startswith("GET") for line in bad.requests)


@pytest.mark.parametrize(("raw", "sentence"), [BROKEN[0], BROKEN[1], BROKEN[3]])
async def test_a_restart_without_an_answer_may_still_go_on(socket: Path, raw: bytes | None, sentence: str) -> None:
    """The engine does not end it when nobody waits: the outcome says so."""
    async with asyncio.timeout(8), bad_engine(socket, GET=FOUND, POST=raw):
        outcome = await restart(socket, timeout=DEADLINE)
    assert isinstance(outcome, Retry)
    assert outcome.detail.startswith(f"{socket} {sentence[:15]}")
    assert outcome.detail.endswith(": the engine may still be restarting web")


async def test_an_engine_without_words_about_the_state_says_nothing_of_it(socket: Path) -> None:
    async with bad_engine(socket, GET=answer(b'{"Name": "/web", "State": "running"}')):
        seen = await verify(socket)
    assert (seen.state, seen.reason) == ("unknown", "the engine does not say how the container is")


def _left(path: Path) -> None:
    """Leave a socket at which nobody listens."""
    with system_socket(AF_UNIX) as left:
        left.bind(str(path))


async def test_an_engine_that_does_not_run_is_another_attempt(socket: Path) -> None:
    """Whether its socket is left or not."""
    told = "): check that the engine runs and that this user may use its socket"
    outcome = await restart(socket)
    assert outcome == Retry(f"{socket} could not be reached (no such file or directory{told}")
    _left(socket)
    assert await restart(socket) == Retry(f"{socket} could not be reached (connection refused{told}")
    assert (await verify(socket)).state == "unknown"


async def test_cancelling_closes_the_connection(socket: Path) -> None:
    async with asyncio.timeout(8), bad_engine(socket, GET=None) as bad:
        task = asyncio.create_task(restart(socket, timeout=60))
        await bad.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bad.over.wait()


WRONG = [
    pytest.param({}, "'container' is missing", id="no container"),
    *(
        pytest.param({"container": name}, "container: ", id=repr(name))
        for name in ("", "-H", "../web", "web/json?x=", "web%2f..", "a b", "web\n", "wéb", ".web")
    ),
    pytest.param({"container": "web", "stop_timeout": "2h"}, "stop_timeout: ", id="a long stop"),
    pytest.param({"container": "web", "stop_timeout": -1}, "stop_timeout: ", id="a stop without end"),
    pytest.param(
        {"container": "web", "socket": f"/{'x' * 103}"}, "socket: the path is longer than 103 bytes", id="a long path"
    ),
    pytest.param({"container": "web", "socket": "/run/\0"}, "socket: ", id="NUL"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "docker", **keys})
    assert sentence in told
