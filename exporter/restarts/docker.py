"""A container of this host's Docker engine: restarted, and looked at afterwards, through the engine's API.

Paths have no version before them: an engine then answers as the newest version that it knows, and what is used here
means the same in all of them.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter.config.options import Duration, option
from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry
from exporter.outbound.requests import Answer, Request
from exporter.outbound.urls import Url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import Cause, Item, RestartParts, State

    Told = tuple[tuple[str | int, ...], str]

ON_HOST: Final = True
VERIFIES: Final = True

SOCKET: Final = Path("/var/run/docker.sock")
LONGEST_SOCKET: Final = 103
"""Bytes of the longest path of a unix socket on any system (macOS; Linux takes four more)."""
DOCUMENT: Final = 4 * 1024 * 1024
"""Bytes that are read of what the engine says of a container: its labels and its last health checks are in it."""

_HOUR: Final = 3_600
_SHORT_ID: Final = re.compile(r"[0-9a-f]{12,64}")
_OK, _NO_CONTENT, _NOT_FOUND = 200, 204, 404
_FINAL: Final = frozenset({400, 401, 403, 404, 405})
"""Codes after which the same request is answered in the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A container, and the engine that runs it."""

    container: str = option(
        help="The container's exact name, or at least 12 characters of its id.",
        example="web",
        pattern=r"[a-zA-Z0-9][a-zA-Z0-9_.-]*",
        maximum=255,
    )
    socket: Path = option(SOCKET, help="The unix socket of the engine. Who may use it is as good as root on this host.")
    stop_timeout: Duration = option(
        Duration(10.0),
        help="How long the container may take to stop; then it is killed. In whole seconds.",
        minimum=0,
        maximum=_HOUR,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a path that no socket can have."""
        del configuration
        if "://" in str(self.socket) or ":/" in str(self.socket):
            yield ("socket",), "is no path: this kind speaks to a unix socket alone, such as /var/run/docker.sock"
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            yield ("socket",), f"the path is longer than {LONGEST_SOCKET} bytes: no unix socket can have it"


def plan(options: Options) -> Plan:
    """Return the request that restarts it, in words as the command `docker` that does the same."""
    host = () if options.socket == SOCKET else ("-H", f"unix://{options.socket}")
    seconds = str(math.ceil(options.stop_timeout))
    sentence = shlex.join(["docker", *host, "restart", "-t", seconds, options.container])
    return Plan(sentence, {"method": "POST", "path": _path(options), "socket": str(options.socket)})


def _path(options: Options) -> str:
    return f"/containers/{options.container}/restart?t={math.ceil(options.stop_timeout)}"


async def restart(options: Options, item: Item, parts: RestartParts, timeout: float) -> Outcome:
    """Look that it is this very container, and have the engine restart it.

    The engine goes on by itself when nobody waits for its answer any more.
    """
    del item
    ends = parts.clock.monotonic() + timeout
    found = await _asked(options, "GET", _inspected(options), parts, timeout)
    if not isinstance(found, Answer):
        return found
    if told := _stranger(options, found):
        return told
    left = ends - parts.clock.monotonic()
    answer = await _asked(options, "POST", _path(options), parts, max(left, 0.0))
    if isinstance(answer, Retry):
        return Retry(f"{answer.detail}: the engine may still be restarting {options.container}")
    if isinstance(answer, GiveUp):
        return answer
    if answer.code == _NO_CONTENT:
        return Done(f"the container {options.container} was restarted")
    return _refused(options, answer)


def _stranger(options: Options, answer: Answer) -> Retry | GiveUp | None:
    """Return why the container that the engine found must not be restarted; None for the one that is meant.

    The engine also takes the beginning of an id: `cafe` would be any container whose id begins with it.
    """
    if answer.code != _OK:
        return _refused(options, answer)
    try:
        found = answer.document()
    except ValueError as error:
        return Retry(f"{options.socket} {error}")
    if _is_meant(options.container, found):
        return None
    return GiveUp(
        f"there is no container {options.container!r}, only one whose id begins so: write its name, or 12 characters "
        "or more of its id"
    )


def _is_meant(name: str, found: Mapping[str, Any]) -> bool:
    return found.get("Name") == f"/{name}" or (
        _SHORT_ID.fullmatch(name) is not None and str(found.get("Id")).startswith(name)
    )


def _refused(options: Options, answer: Answer) -> Retry | GiveUp:
    """Return what an answer means that is no success."""
    if answer.code == _NOT_FOUND:
        return GiveUp(f"there is no container {options.container!r} at {options.socket}: check its name")
    message = answer.message()
    said = f"{options.socket} answered {answer.words}" + (f": {message}" if message else "")
    return GiveUp(said, message) if answer.code in _FINAL else Retry(said, message)


async def verify(options: Options, parts: RestartParts, timeout: float) -> Reading:
    """Say whether the container runs, is healthy where it has a health check, and has not died since its restart."""
    began = parts.clock.monotonic()
    state, reason, cause = _seen(options, await _asked(options, "GET", _inspected(options), parts, timeout))
    return Reading(state, reason, parts.clock.monotonic() - began, cause)


def _seen(options: Options, answer: Answer | Retry | GiveUp) -> tuple[State, str, Cause]:
    if not isinstance(answer, Answer):
        return "unknown", answer.detail, "system"
    told = _stranger(options, answer)
    if told is None:
        return _judged(answer.document())
    is_absent = isinstance(told, GiveUp) and answer.code in {_OK, _NOT_FOUND}
    return ("down", told.detail, "absent") if is_absent else ("unknown", told.detail, "system")


def _judged(found: Mapping[str, Any]) -> tuple[State, str, Cause]:
    """Return what the engine's words about a container mean."""
    state = found.get("State")
    if not isinstance(state, dict):
        return "unknown", "the engine does not say how the container is", "system"
    ended = f"exit status {state.get('ExitCode')}" if isinstance(state.get("ExitCode"), int) else "no exit status"
    if state.get("OOMKilled") is True:
        ended += ", killed as its memory was used up"
    if state.get("Restarting") is True:
        return "down", f"the container died, and waits to be started again by its restart policy ({ended})", "exit"
    if state.get("Paused") is True:
        return "down", "the container is paused", "exit"
    if state.get("Running") is not True:
        return "down", f"the container does not run ({ended})", "exit"
    # A restart that somebody asked for begins to count anew.
    count = found.get("RestartCount")
    if isinstance(count, int) and count > 0:
        return (
            "down",
            f"the container died since its restart: its restart policy started it again {count} times",
            "exit",
        )
    health = state.get("Health")
    return _healthy(health.get("Status") if isinstance(health, dict) else None)


def _healthy(status: Any) -> tuple[State, str, Cause]:
    if status == "healthy":
        return "up", "the container runs and is healthy", ""
    if status == "starting":
        return "down", "the container runs and is not healthy yet", "health"
    if status in {None, "", "none"}:
        return "up", "the container runs; it has no health check", ""
    return "down", "the container runs and is unhealthy", "health"


def _inspected(options: Options) -> str:
    return f"/containers/{options.container}/json"


async def _asked(
    options: Options, method: str, path: str, parts: RestartParts, timeout: float
) -> Answer | Retry | GiveUp:
    """Send a request to the engine's socket."""
    if sys.platform == "win32":
        return GiveUp("this kind speaks to a unix socket, which there is none of here: use the kind `command`")
    from exporter.outbound.sending import asked  # noqa: PLC0415 - options must be cheap to load

    # The host is that of the command `docker`: the engine takes any.
    request = Request(method=method, url=Url("http", "docker", 80, path), socket=options.socket)
    answer = await asked(request, parts, timeout, limit=DOCUMENT)
    if isinstance(answer, Retry) and "could not be reached" in answer.detail:
        return Retry(f"{answer.detail}: check that the engine runs and that this user may use its socket")
    return answer
