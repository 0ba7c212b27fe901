"""Every kind of restart, found by its file name, keeps the promises of `exporter.model.Restart`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from contract.promises import Peer, files_of, imported, is_explained, peer
from servers.programs import short_folder
from servers.tls import Authority

import exporter
from exporter import kinds
from exporter.acting import Parts
from exporter.clock import SystemClock
from exporter.config.options import Duration
from exporter.config.schema import entries, of_class
from exporter.model import STATES, Done, GiveUp, Item, Plan, Retry
from exporter.restarting.options import RestartTiming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

RESTARTS = kinds.words("restarts")
FOLDER = Path(exporter.__file__).parent / "restarts"
CANARY = "canary-5ecret"
TIMEOUT = 0.5
"""Seconds that a restart gets."""
LONGEST = 8.0
ITEM = Item(1, "restarts", "web", service="web", labels={"alertname": "A"})
UNIT = "watchbridge-test-of-what-there-is-not.service"
MADE_OF = {"auto": {"systemd", "process"}}
"""The one kind that is made of others: it is either, as its configuration says."""


@dataclass
class Place:
    """Where a kind is pointed to: a port and a socket, at which nothing listens, and a program."""

    folder: Path
    port: int
    parts: Parts = field(default_factory=lambda: Parts(SystemClock()))

    @property
    def socket(self) -> Path:
        """Return the path of the socket."""
        return self.folder / "engine.sock"

    @property
    def program(self) -> Path:
        """Return the path of a program that can be run until it is removed."""
        return self.folder / "program"


def _made(word: str, **options: object) -> object:
    return kinds.load("restarts", word).Options(**options)


def _command(place: Place) -> object:
    del place
    argv = (sys.executable, "-I", "-c", "import sys, time; sys.stdin.read(); time.sleep(60)")
    return _made("command", argv=argv, environment={"TOKEN": CANARY})


def _kubernetes(place: Place) -> object:
    files = {"token_file": place.folder / "token", "ca_file": place.folder / "ca.pem"}
    server = f"https://127.0.0.1:{place.port}"
    return _made("kubernetes", resource="deployment/web", namespace="shop", server=server, **files)


def _program(word: str, place: Place, **others: object) -> object:
    return _made(word, argv=(str(place.program), "serve"), environment={"TOKEN": CANARY}, **others)


EXAMPLES: dict[str, Callable[[Place], Any]] = {
    "command": _command,
    "docker": lambda place: _made("docker", container="web", socket=place.socket, stop_timeout=Duration(1.0)),
    "kubernetes": _kubernetes,
    "systemd": lambda _: _made("systemd", unit=UNIT),
    "process": lambda place: _program("process", place),
    "auto": lambda place: _program("auto", place, unit=UNIT),
}
"""Options of each kind that hold a secret wherever the kind can: a new kind adds its own here."""
NETWORK = ("docker", "kubernetes")


def example(word: str, place: Place) -> Any:
    """Return the options of the kind's example."""
    assert word in EXAMPLES, f"add options of the kind {word!r} to EXAMPLES, with a secret wherever it takes one"
    return EXAMPLES[word](place)


@pytest.fixture
def place() -> Iterator[Place]:
    """Give a port and a socket at which nothing listens, a program, and the files of a pod."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with short_folder() as folder:
        found = Place(folder, port)
        found.program.write_text("#!/bin/sh\nexec sleep 60\n")
        found.program.chmod(0o755)
        (folder / "token").write_text(CANARY)
        (folder / "ca.pem").write_bytes(Authority().root.pem())
        yield found


@pytest.fixture
def nothing(place: Place) -> Place:
    """Give a place where nothing can be restarted; the program was there when the configuration was loaded."""
    place.program.unlink()
    return place


def test_the_word_is_the_file_name() -> None:
    """There is no second list to keep."""
    assert set(RESTARTS) == {path.stem for path in FOLDER.iterdir() if not path.name.startswith("_")}


@pytest.mark.parametrize("word", RESTARTS)
def test_a_restart_says_what_it_is(word: str) -> None:
    """The module has a docstring, as has all that it offers; its options are frozen, and each one is explained."""
    is_explained(kinds.load("restarts", word), "plan", "restart", "verify")


@pytest.mark.parametrize("word", RESTARTS)
def test_the_options_have_a_schema(word: str) -> None:
    """A configuration can hold them, and no key is one of those that stand beside them."""
    schema = of_class(kinds.load("restarts", word).Options)
    beside = {"kind", *(entry.name for entry in entries(RestartTiming))}
    assert not beside & set(schema["properties"])


@pytest.mark.parametrize("word", RESTARTS)
def test_the_protocol_is_kept(word: str) -> None:
    """The names and the order of the arguments are those by which the callers give them."""
    module = kinds.load("restarts", word)
    assert list(inspect.signature(module.plan).parameters) == ["options"]
    assert list(inspect.signature(module.restart).parameters) == ["options", "item", "parts", "timeout"]
    assert list(inspect.signature(module.verify).parameters) == ["options", "parts", "timeout"]
    assert [inspect.iscoroutinefunction(getattr(module, name)) for name in ("plan", "restart", "verify")] == [0, 1, 1]
    assert {type(module.ON_HOST), type(module.VERIFIES)} == {bool}


@pytest.mark.parametrize("word", RESTARTS)
def test_a_good_example_has_no_problem(word: str, place: Place) -> None:
    """`problems()` is about mistakes alone; warnings are sentences."""
    options = example(word, place)
    assert list(options.problems(SimpleNamespace())) == []
    for _, sentence in getattr(options, "warnings", lambda _: ())(SimpleNamespace()):
        assert sentence.isprintable()


def test_options_are_cheap_to_load() -> None:
    """Each start of the program reads the configuration: what speaks is imported when something is said."""
    script = (
        "import sys; from exporter import kinds\n"
        "for word in kinds.words('restarts'): kinds.load('restarts', word).Options\n"
        "print(sorted({'aiohttp', 'yarl', 'psutil', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("word", RESTARTS)
def test_a_plan_is_the_same_each_time_and_shows_no_secret(word: str, nothing: Place) -> None:
    """One printable line, and what JSON can hold; it reads nothing but the options."""
    module, options = kinds.load("restarts", word), example(word, nothing)
    (nothing.folder / "token").unlink()
    before = repr(options)
    found = module.plan(options)
    assert isinstance(found, Plan)
    assert found == module.plan(options)
    assert repr(options) == before
    assert found.sentence
    assert found.sentence.isprintable()
    assert found.details
    assert CANARY not in found.sentence + json.dumps(found.details) + before


HOSTILE = [
    pytest.param(ITEM, id="plain"),
    pytest.param(Item(0, "", ""), id="empty"),
    pytest.param(replace(ITEM, key="--now; $(id) {key}\r\n\0", labels={"LD_PRELOAD": "x", "": ""}), id="B08 B09"),
    pytest.param(replace(ITEM, key="\ud800\udfff", reason="\ud800", service="\udc80"), id="surrogates"),
    pytest.param(replace(ITEM, key="k" * 200_000, starts_at=float("nan"), id=2**70), id="long, and no time"),
]


@pytest.mark.parametrize("item", HOSTILE)
@pytest.mark.parametrize("word", RESTARTS)
async def test_restart_never_raises(word: str, item: Item, nothing: Place) -> None:
    """Whatever the item holds; nothing was there that could be restarted."""
    module = kinds.load("restarts", word)
    async with asyncio.timeout(LONGEST):
        outcome = await module.restart(example(word, nothing), item, nothing.parts, TIMEOUT)
    assert isinstance(outcome, Retry | GiveUp), outcome
    assert outcome.detail.strip()
    assert CANARY not in outcome.detail + outcome.output


@pytest.mark.parametrize("word", RESTARTS)
async def test_verify_never_raises(word: str, nothing: Place) -> None:
    """It is not up, as there is nothing; where a kind cannot see that, it says so."""
    module = kinds.load("restarts", word)
    async with asyncio.timeout(LONGEST):
        seen = await module.verify(example(word, nothing), nothing.parts, TIMEOUT)
    assert seen.state in set(STATES) & {"down", "unknown"}
    assert module.VERIFIES or seen.state == "unknown"
    assert seen.reason.strip()
    assert seen.duration >= 0
    assert CANARY not in seen.reason


@contextlib.asynccontextmanager
async def _peer(place: Place, manner: str) -> AsyncIterator[Peer]:
    """Start a bad server where the place points to."""
    async with peer(manner, place.socket) as started:
        place.port = started.port
        yield started


@pytest.mark.parametrize("manner", ["hung", "closing", "garbage"])
@pytest.mark.parametrize("word", NETWORK)
async def test_a_bad_peer_is_another_attempt(word: str, manner: str, place: Place) -> None:
    """In time, in words, without the secret; no connection stays. Nothing is known of what should run."""
    module = kinds.load("restarts", word)
    async with asyncio.timeout(LONGEST), _peer(place, manner) as bad:
        options = example(word, place)
        outcome = await module.restart(options, ITEM, place.parts, TIMEOUT)
        seen = await module.verify(options, place.parts, TIMEOUT)
        await bad.over.wait()
    assert isinstance(outcome, Retry), outcome
    assert seen.state == "unknown"
    assert (outcome.detail + seen.reason).isprintable()
    assert CANARY not in outcome.detail + outcome.output + seen.reason


@pytest.mark.parametrize("does", ["restart", "verify"])
@pytest.mark.parametrize("word", NETWORK)
async def test_a_cancelled_restart_leaves_no_connection(word: str, does: str, place: Place) -> None:
    """A shutdown or a reload cancels; nothing may take that for a failure of the peer."""
    module = kinds.load("restarts", word)
    async with asyncio.timeout(LONGEST), _peer(place, "hung") as bad:
        item = (ITEM,) if does == "restart" else ()
        task = asyncio.ensure_future(getattr(module, does)(example(word, place), *item, place.parts, 30.0))
        await bad.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bad.over.wait()


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


async def test_a_cancelled_command_leaves_no_process(place: Place) -> None:
    """Nor what it started; the other kinds start nothing that takes long."""
    before = _children()
    options = example("command", place)
    task = asyncio.ensure_future(kinds.load("restarts", "command").restart(options, ITEM, place.parts, 30.0))
    async with asyncio.timeout(LONGEST):
        while not (found := _children() - before):  # noqa: ASYNC110 - a start gives no event
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found):  # noqa: ASYNC110 - nor its end
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("word", RESTARTS)
async def test_a_restart_that_is_cancelled_as_it_begins_leaves_nothing(word: str, steps: int, place: Place) -> None:
    """Within its first steps, while a program is being started or a server is connected to."""
    before = _children()
    module = kinds.load("restarts", word)
    async with asyncio.timeout(LONGEST), _peer(place, "hung") as bad:
        task = asyncio.ensure_future(module.restart(example(word, place), ITEM, place.parts, 30.0))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bad.over.wait()
    assert _children() <= before


async def test_an_address_that_is_not_permitted_is_never_reached(place: Place) -> None:
    """The guard is asked of the numeric address before anything is sent; a socket has none."""
    asked: list[str] = []
    given = replace(place.parts, permits=lambda address: bool(asked.append(address)))
    async with _peer(place, "hung") as bad:
        outcome = await kinds.load("restarts", "kubernetes").restart(example("kubernetes", place), ITEM, given, 5.0)
        assert not bad.begun.is_set()
    assert isinstance(outcome, GiveUp)
    assert set(asked) == {"127.0.0.1"}


@pytest.mark.parametrize("word", RESTARTS)
def test_no_kind_knows_another(word: str) -> None:
    """What two kinds need is a noun of its own; and no kind sleeps, logs or asks the store."""
    mine = "|".join({word, *MADE_OF.get(word, ())})
    files = files_of(FOLDER, word)
    assert files
    for path in files:
        names = imported(path)
        assert {name for name in names if re.match(rf"exporter\.restarts\.(?!({mine})\b)", name)} == set(), path
        assert not names & {"logging", "time", "sqlalchemy", "subprocess", "exporter.store"}, path


async def test_what_is_done_is_done(tmp_path: Path) -> None:
    """Not everything fails here."""
    argv = (sys.executable, "-I", "-c", f"open({str(tmp_path / 'done')!r}, 'x')")
    made = _made("command", argv=argv)
    outcome = await kinds.load("restarts", "command").restart(made, ITEM, Parts(SystemClock()), 20.0)
    assert outcome == Done("exit status 0")
    assert (tmp_path / "done").exists()
