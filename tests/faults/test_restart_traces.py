"""Every program that a server starts while it restarts services, as the kernel was asked to start it (S12)."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from e2e.bridge_scenes import Books, no_tracebacks
from e2e.restart_scenes import over, restarting
from e2e.service_scenes import base
from servers.deliveries import TOKEN, alert, payload, post
from servers.program import Program
from servers.programs import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARGUMENTS = ("-f", "-v", "-xx", "-s", "100000", "--seccomp-bpf", "-e", "trace=execve,execveat", "-e", "signal=none")
SECRET = "canary-of-tests-5f0c2a"
"""Stands in the configuration and in the server's environment, for no program to see."""
NO_NAMES = (
    "web; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "../web",
    "web\n",
    " web",
    "web\0",
    "-Hlocalhost",
    "--",
    "WEB",
    "{service}",
    "%s",
    "web\u202e",
    "",
)
"""What is no name of a service, but was meant to be taken for one, for an option, or for a command."""
HOSTILE = {
    "path": "/evil:$(touch pwned)",
    "LD_PRELOAD": "/evil/evil.so",
    "PATH": "/evil",
    "argv": "['/bin/sh', '-c', 'touch pwned']",
    "n": "'; touch pwned #",
    "restart": "/bin/sh -c 'touch pwned'\n--option",
}


class Started(NamedTuple):
    """A program that was asked for: its path, its arguments, and its environment as NAME=value."""

    path: str
    argv: tuple[str, ...]
    environment: frozenset[str]


@pytest.fixture
def strace() -> str:
    """Give the path of strace."""
    found = shutil.which("strace")
    if found is None and os.environ.get("CI"):
        pytest.fail("strace is not installed: run tests/install-servers", pytrace=False)
    if found is None:
        pytest.skip("strace is not installed: tests/install-servers does that")
    return found


_CALL = re.compile(r"^(\d+) +execve\((\"[^\"]*\"), \[([^\]]*)\], \[([^\]]*)\]")
_BEGUN = re.compile(r"^\d+ +execve")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(?:\.\.\.)?')


def _calls(trace: Path) -> Iterator[tuple[int, Started]]:
    """Yield what was started, with the number of the process; every call must be one that is understood."""
    for line in trace.read_text(encoding="ascii").splitlines():
        match = _CALL.match(line)
        assert match is not None or not _BEGUN.match(line), line
        if match is not None:
            path, argv, environment = (_texts(part) for part in match.groups()[1:])
            yield int(match.group(1)), Started(path[0], tuple(argv), frozenset(environment))


def _texts(part: str) -> list[str]:
    return [bytes.fromhex(text.replace("\\x", "")).decode(errors="replace") for text in _TEXT.findall(part)]


def test_s12_what_is_started_is_what_the_configuration_says_and_nothing_else(
    strace: str, watchbridge, tmp_path: Path
) -> None:
    """Hostile labels change no word of it and name nothing; no program gets a secret, nor the server's environment."""
    well = tmp_path / "well; $(touch pwned) {service}"
    test, touch = ("/usr/bin/test", "-e", str(well)), ("/usr/bin/touch", "--", str(well))
    before, worker = ("/usr/bin/true", "$HOME", "{service}", "--"), ("/usr/bin/sleep", "1000003")
    touched = {"kind": "command", "argv": touch, "environment": {"MODE": "$(x)"}, "before": before, "delay": 0}
    services = {
        "web": {"probe": {"kind": "command", "argv": test, "every": "1h"}, "restart": touched},
        "worker": {"restart": {"kind": "process", "argv": worker, "environment": {"QUEUE": "; x"}, "delay": 0}},
    }
    told = {"kind": "http", "url": "http://127.0.0.1:1/", "bearer_token": SECRET}
    config = restarting(tmp_path, services, notify=[{"on": "restart", "action": told}])
    server = watchbridge.environment({"AWS_SECRET_ACCESS_KEY": SECRET, "RUNTIME_DIRECTORY": str(tmp_path / "run")})
    trace, run = tmp_path / "trace", tmp_path / "traced"
    run.mkdir()
    served = [sys.executable, "-m", "exporter", "serve", "--config", str(watchbridge.configuration(config))]
    program = Program([strace, *ARGUMENTS, "-o", str(trace), *served], run, server)
    watchbridge.started.append(program)
    program.wait_ready()
    books = Books(config["store"])
    alerts = [alert(f"no-{number}", service=name, **HOSTILE) for number, name in enumerate(NO_NAMES)]
    alerts += [alert("well", service="web", **HOSTILE), alert("works", service="worker", **HOSTILE)]
    try:
        assert post(base(program), payload(alerts)).status == 200
        until(lambda: set(books.states("restarts")) == {"web", "worker"}, 30, "what can be restarted to be stored")
        over(books)
        assert books.states("restarts") == {"web": "done", "worker": "done"}
        assert books.number("SELECT count(*) FROM backlog_items WHERE queue = 'restarts'") == 2
        os.kill(next(_calls(trace))[0], signal.SIGTERM)  # strace keeps signals to itself
        until(lambda: '"ended"' in program.output(), 30, "the end of the server")
    finally:
        calls = list(_calls(trace))
        for pid, started in calls:
            if started.argv == worker:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # it outlives the server, and strace waits for it
    assert program.wait() == 0

    plain = frozenset(f"{name}={server[name]}" for name in ("PATH", "LANG", "HOME"))
    assert {started for _, started in calls[1:]} == {
        Started(test[0], test, plain),
        Started(before[0], before, plain),
        Started(touch[0], touch, plain | {"MODE=$(x)"}),
        Started(worker[0], worker, plain | {"QUEUE=; x"}),
    }
    plans = [one["msg"] for one in program.records() if one.get("queue") == "restarts"]
    assert any(plan.endswith(f": {shlex.join(before)}; then {shlex.join(touch)}") for plan in plans)
    assert any(plan.endswith(f"then start: {shlex.join(worker)}") for plan in plans)
    counts = [sum(one.argv == argv for _, one in calls) for argv in (before, touch, worker)]
    assert counts == [1, 1, 1]
    words = [word for _, one in calls[1:] for word in (*one.argv, *one.environment)]
    assert [word for word in words if SECRET in word or TOKEN in word] == []
    assert not list(tmp_path.rglob("pwned"))
    assert any(SECRET in word for word in calls[0][1].environment), "the trace would show it"
    no_tracebacks(watchbridge.started)
