"""Every kind of action, found by its file name, keeps the promises of `exporter.model.Action`."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import inspect
import json
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from contract.promises import is_explained

import exporter
from exporter import acting, kinds
from exporter.acting import Parts
from exporter.bridge.options import ActionTiming, AlertmanagerOptions
from exporter.clock import SystemClock
from exporter.config.options import Duration, Secret
from exporter.config.schema import entries, of_class
from exporter.mail import MailOptions
from exporter.model import Done, GiveUp, Item, Plan, Retry
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ACTIONS = kinds.words("actions")
FOLDER = Path(exporter.__file__).parent / "actions"
CANARY = "canary-5ecret"
TIMEOUT = 0.3
"""Seconds that an action gets."""
LONGEST = 8.0
ITEM = Item(1, "q", "k", labels={"alertname": "A"})


@dataclass
class Place:
    """Where a kind is pointed to."""

    port: int

    @property
    def url(self) -> str:
        """Return a URL there."""
        return f"http://127.0.0.1:{self.port}"

    def parts(self) -> Parts:
        """Return what an action may use: mail and Alertmanager are there too."""
        mail = MailOptions(host="127.0.0.1", port=self.port, sender="watchbridge@example.com")
        where = AlertmanagerOptions(url=self.url, api_token=Secret(CANARY), timeout=Duration(5.0))
        return Parts(SystemClock(), mail, where)


def _made(word: str, **options: object) -> object:
    return kinds.load("actions", word).Options(**options)


def _command(place: Place) -> object:
    del place
    script = "import sys, time; sys.stdin.read(); time.sleep(60)"
    argv = (sys.executable, "-I", "-c", script, "--", "{key}")
    return _made("command", argv=argv, environment={"TOKEN": CANARY})


def _http(place: Place) -> object:
    auth = kinds.load("actions", "http").BasicAuth(username="me", password=Secret(CANARY))
    url = Secret(f"{place.url}/hooks/{CANARY}?token={CANARY}")
    return _made("http", url=url, basic_auth=auth, headers={"X-Token": CANARY}, json={"user": "{key}", "n": 1.0})


EXAMPLES: dict[str, Callable[[Place], Any]] = {
    "command": _command,
    "http": _http,
    "email": lambda _: _made("email", to=("admin@company.com",)),
    "alertmanager": lambda _: _made("alertmanager", post="alert", labels={"alertname": "X", "user": "{key}"}),
}
"""Options of each kind that hold a secret wherever the kind can: a new kind adds its own here."""
NETWORK = ("http", "email", "alertmanager")


def example(word: str, place: Place) -> Any:
    """Return the options of the kind's example."""
    assert word in EXAMPLES, f"add options of the kind {word!r} to EXAMPLES, with a secret wherever it takes one"
    return EXAMPLES[word](place)


@pytest.fixture
def place() -> Place:
    """Give a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return Place(port)


def test_the_word_is_the_file_name() -> None:
    """There is no second list to keep."""
    assert set(ACTIONS) == {path.stem for path in FOLDER.iterdir() if not path.name.startswith("_")}


@pytest.mark.parametrize("word", ACTIONS)
def test_an_action_says_what_it_is(word: str) -> None:
    """The module has a docstring, as has all that it offers; its options are frozen, and each one is explained."""
    is_explained(kinds.load("actions", word), "plan", "act")


@pytest.mark.parametrize("word", ACTIONS)
def test_the_options_have_a_schema(word: str) -> None:
    """A configuration can hold them, and no key is one of those that stand beside them."""
    schema = of_class(kinds.load("actions", word).Options)
    beside = {"kind", *(entry.name for entry in entries(ActionTiming))}
    assert not beside & set(schema["properties"])


@pytest.mark.parametrize("word", ACTIONS)
def test_the_protocol_is_kept(word: str) -> None:
    """The names and the order of the arguments are those by which the callers give them."""
    module = kinds.load("actions", word)
    assert list(inspect.signature(module.plan).parameters) == ["options", "item"]
    assert list(inspect.signature(module.act).parameters) == ["options", "item", "parts", "timeout"]
    assert inspect.iscoroutinefunction(module.act)
    assert not inspect.iscoroutinefunction(module.plan)


@pytest.mark.parametrize("word", ACTIONS)
def test_a_good_example_has_no_problem(word: str, place: Place) -> None:
    """`problems()` is about mistakes alone."""
    options = example(word, place)
    assert list(options.problems(SimpleNamespace(alertmanager=place.parts().alertmanager))) == []


def test_options_are_cheap_to_load() -> None:
    """Each start of the program reads the configuration: what speaks is imported when something is said."""
    script = (
        "import sys; from exporter import kinds\n"
        "for word in kinds.words('actions'): kinds.load('actions', word).Options\n"
        "print(sorted({'aiohttp', 'yarl', 'smtplib', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


HOSTILE = [
    pytest.param(ITEM, id="plain"),
    pytest.param(Item(0, "", ""), id="empty"),
    pytest.param(replace(ITEM, key="--now"), id="B08 option"),
    pytest.param(replace(ITEM, key="$(id); `id` {key} %s\r\n\0"), id="B08 shell"),
    pytest.param(replace(ITEM, key="\ud800\udfff", reason="\ud800", service="\udc80"), id="surrogates"),
    pytest.param(replace(ITEM, key="k" * 100_000), id="long"),
    pytest.param(replace(ITEM, key="k" * 200_000), id="longer than an argument can be"),
    pytest.param(replace(ITEM, labels={"": "", "a=b": "c", "LD_PRELOAD": "x", "key": "evil"}), id="B09 names"),
    pytest.param(replace(ITEM, annotations={str(n): "\x1b[31m\u202e" * 500 for n in range(64)}), id="annotations"),
    pytest.param(replace(ITEM, starts_at=1e300, created_at=-1e300, attempt=-1, id=2**70), id="numbers"),
    pytest.param(replace(ITEM, starts_at=float("nan"), generator_url="javascript:alert(1)"), id="no time"),
]


@pytest.mark.parametrize("item", HOSTILE)
@pytest.mark.parametrize("word", ACTIONS)
def test_a_plan_is_the_same_each_time_and_shows_no_secret(word: str, item: Item, place: Place) -> None:
    """One printable line, and what JSON can hold; or a sentence about what of the item is missing or unfit."""
    module, options = kinds.load("actions", word), example(word, place)
    before = json.dumps([dataclasses.asdict(item), repr(options)])
    found = acting.plan(word, options, item)
    assert found == acting.plan(word, options, item)
    assert json.dumps([dataclasses.asdict(item), repr(options)]) == before
    if isinstance(found, str):
        assert "broke off" not in found
        assert found.isprintable()
        with pytest.raises(PlaceholderError):
            module.plan(options, item)
        return
    assert isinstance(found, Plan)
    assert found.sentence
    assert found.sentence.isprintable()
    assert CANARY not in module.plan(options, item).sentence + json.dumps(module.plan(options, item).details)


@pytest.mark.parametrize("item", HOSTILE)
@pytest.mark.parametrize("word", ACTIONS)
async def test_act_never_raises(word: str, item: Item, place: Place) -> None:
    """Whatever the item holds; nothing was there that could have done it."""
    module = kinds.load("actions", word)
    async with asyncio.timeout(LONGEST):
        outcome = await module.act(example(word, place), item, place.parts(), TIMEOUT)
    assert isinstance(outcome, Retry | GiveUp), outcome
    assert outcome.detail.strip()
    assert CANARY not in outcome.detail + outcome.output


GARBAGE = bytes(range(256)) * 16


@dataclass
class Peer:
    """A server in a bad manner, and how many connections to it are open."""

    manner: str
    port: int = 0
    connections: int = 0
    begun: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.connections += 1
        self.begun.set()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            writer.write(GARBAGE if self.manner == "garbage" else b"")
            while self.manner != "closing" and await reader.read(65536):
                pass
        writer.transport.abort()
        self.connections -= 1
        if not self.connections:
            self.over.set()


@contextlib.asynccontextmanager
async def _peer(manner: str) -> AsyncIterator[Peer]:
    peer = Peer(manner)
    server = await asyncio.start_server(peer.handle, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()


@pytest.mark.parametrize("manner", ["hung", "closing", "garbage"])
@pytest.mark.parametrize("word", NETWORK)
async def test_a_bad_peer_is_another_attempt(word: str, manner: str) -> None:
    """In time, in words, without the secret; no connection stays."""
    async with _peer(manner) as peer:
        place = Place(peer.port)
        async with asyncio.timeout(LONGEST):
            outcome, seconds = await acting.run(word, example(word, place), ITEM, place.parts(), TIMEOUT)
            await peer.over.wait()
    assert isinstance(outcome, Retry), outcome
    assert "broke off with" not in outcome.detail
    assert outcome.detail.isprintable()
    assert CANARY not in outcome.detail + outcome.output
    assert 0 <= seconds < LONGEST


@pytest.mark.parametrize("word", NETWORK)
async def test_a_cancelled_action_leaves_no_connection(word: str) -> None:
    """A shutdown or a reload cancels; nothing may take that for a failure of the peer."""
    async with _peer("hung") as peer, asyncio.timeout(LONGEST):
        place = Place(peer.port)
        task = asyncio.ensure_future(kinds.load("actions", word).act(example(word, place), ITEM, place.parts(), 30.0))
        await peer.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await peer.over.wait()


@pytest.mark.parametrize("word", sorted(set(ACTIONS) - set(NETWORK)))
async def test_a_cancelled_action_leaves_no_process(word: str, place: Place) -> None:
    """Nor what it started."""
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    task = asyncio.ensure_future(kinds.load("actions", word).act(example(word, place), ITEM, place.parts(), 30.0))
    async with asyncio.timeout(LONGEST):
        while not (found := [one for one in psutil.Process().children(recursive=True) if one.pid not in before]):  # noqa: ASYNC110 - a start gives no event
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found):  # noqa: ASYNC110 - nor its end
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("word", ACTIONS)
async def test_an_action_cancelled_at_once_has_done_nothing(word: str, place: Place) -> None:
    """Before its first step."""
    task = asyncio.ensure_future(acting.run(word, example(word, place), ITEM, place.parts(), 30.0))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("word", ["http", "alertmanager"])
async def test_an_address_that_is_not_permitted_is_never_reached(word: str) -> None:
    """The guard is asked of the numeric address before anything is sent."""
    asked: list[str] = []
    async with _peer("hung") as peer:
        place = Place(peer.port)
        given = replace(place.parts(), permits=lambda address: bool(asked.append(address)))
        outcome = await kinds.load("actions", word).act(example(word, place), ITEM, given, 5.0)
        assert not peer.begun.is_set()
    assert isinstance(outcome, GiveUp)
    assert set(asked) == {"127.0.0.1"}


@pytest.mark.parametrize("word", ACTIONS)
def test_no_kind_knows_another(word: str) -> None:
    """What two kinds need is a noun of its own; and no kind sleeps, logs or asks the store."""
    found = FOLDER / f"{word}.py"
    files = [found] if found.exists() else sorted((FOLDER / word).glob("*.py"))
    assert files
    for path in files:
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        imported = {
            name
            for node in tree
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
        }
        assert {name for name in imported if re.match(rf"exporter\.actions\.(?!{word}\b)", name)} == set(), path
        assert not imported & {"logging", "time", "sqlalchemy", "subprocess", "exporter.store"}, path


async def test_what_is_done_is_done(tmp_path: Path) -> None:
    """Not everything fails here."""
    argv = (sys.executable, "-I", "-c", f"open({str(tmp_path / 'done')!r}, 'x')")
    outcome, _ = await acting.run("command", _made("command", argv=argv), ITEM, Place(9).parts(), 20.0)
    assert outcome == Done("exit status 0")
    assert (tmp_path / "done").exists()
