"""Every kind of probe, found by its file name, keeps the promises of `exporter.model.Probe`."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import math
import re
import socket
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

import pytest
from contract.promises import is_explained

import exporter
from exporter import kinds
from exporter.clock import SystemClock
from exporter.config.options import Secret
from exporter.config.schema import entries, of_class
from exporter.databases import open_database, options_from_url
from exporter.errors import UnknownKindError
from exporter.exposition import Exposition, checked, negotiate
from exporter.model import STATES, Cause, Family, Reading
from exporter.probing import Parts
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PROBES = kinds.words("probes")
FOLDER = Path(exporter.__file__).parent / "probes"
NETWORK = ("http", "tcp", "tls", "dns", "icmp")
CANARY = "canary-5ecret"
TIMEOUT = 0.3
"""Seconds that a probe gets; it may take one more, and this machine may be busy."""
LONGEST = 8.0


@dataclass
class Place:
    """Where a kind is pointed to."""

    port: int
    folder: Path

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"


def _made(word: str, **options: object) -> object:
    return kinds.load("probes", word).Options(**options)


def _http(place: Place) -> object:
    auth = kinds.load("probes", "http").options.BasicAuth(username="me", password=Secret(CANARY))
    url = f"http://{place.address}/health?token={CANARY}"
    return _made("http", url=url, basic_auth=auth, headers={"X-Token": CANARY}, body=CANARY)


def _tcp(place: Place) -> object:
    step = kinds.load("probes", "tcp").options.QueryResponse(expect="^[+]OK", send=f"PASS {CANARY}")
    return _made("tcp", address=place.address, query_response=(step, step))


def _command(place: Place) -> object:
    del place
    script = f"import time; time.sleep(60) # {CANARY}"
    return _made("command", argv=(sys.executable, "-I", "-c", script), environment={"TOKEN": CANARY})


def _pid_file(place: Place) -> object:
    file = place.folder / "pid"
    file.write_text("1\n")
    return _made("process", pid_file=file)


EXAMPLES: dict[str, Callable[[Place], Any]] = {
    "http": _http,
    "tcp": _tcp,
    "tls": lambda place: _made("tls", address=place.address),
    "dns": lambda place: _made("dns", server=place.address, query="www.example.org"),
    "icmp": lambda place: _made("icmp", address="127.0.0.1"),
    "command": _command,
    "process": _pid_file,
    "sql": lambda place: _made("sql", database="registry", query=f"SELECT '{CANARY}'"),
}
"""Options of each kind that hold a secret wherever the kind can: a new kind adds its own here."""

TARGETS = {
    "http": "http://192.0.2.1/",
    "tcp": "192.0.2.1:5672",
    "tls": "192.0.2.1:443",
    "dns": "192.0.2.1",
    "icmp": "192.0.2.1",
}


def example(word: str, place: Place) -> Any:
    """Return the options of the kind's example."""
    assert word in EXAMPLES, f"add options of the kind {word!r} to EXAMPLES, with a secret wherever it takes one"
    return EXAMPLES[word](place)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return Place(port, tmp_path)


def test_the_word_is_the_file_name() -> None:
    """There is no second list to keep."""
    assert set(PROBES) == {path.stem for path in FOLDER.iterdir() if not path.name.startswith("_")}
    assert set(EXAMPLES) == set(PROBES)


@pytest.mark.parametrize("word", PROBES)
def test_a_probe_declares_its_families(word: str) -> None:
    """Valid names that begin as blackbox_exporter's do, each with a HELP and no label of Prometheus' discovery."""
    families = kinds.load("probes", word).FAMILIES
    assert families
    assert len({family.name for family in families}) == len(families)
    for family in families:
        checked(family)
        assert family.name.startswith("probe_")
        assert family.type == "gauge"
        assert not {"service", "env", "region", "zone", "type", "job", "instance"} & set(family.labels)


def test_a_name_has_one_meaning() -> None:
    """Kinds share a family or have different names."""
    families = {family for word in PROBES for family in kinds.load("probes", word).FAMILIES}
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert not {"probe_success", "probe_duration_seconds"} & set(names), "these are /probe's own"


@pytest.mark.parametrize("word", PROBES)
def test_a_probe_says_what_it_is(word: str) -> None:
    """The module has a docstring, as has all that it offers; its options are frozen, and each one is explained."""
    is_explained(kinds.load("probes", word), "probe", "samples", "target", "aimed")


@pytest.mark.parametrize("word", PROBES)
def test_the_options_have_a_schema(word: str) -> None:
    """A configuration can hold them, and no key is one of those that stand beside them."""
    schema = of_class(kinds.load("probes", word).Options)
    beside = {"kind", "every", "schedule", "timezone", "timeout", "slow_after"}
    assert not beside & set(schema["properties"])


@pytest.mark.parametrize("word", PROBES)
def test_slowness_means_something_on_the_network_alone(word: str) -> None:
    """As the option `slow_after` tells it."""
    slow_after = kinds.load("probes", word).SLOW_AFTER
    assert slow_after == (2.0 if word in NETWORK else None)


@pytest.mark.parametrize("word", PROBES)
def test_the_protocol_is_kept(word: str) -> None:
    """The names and the order of the arguments are those by which the callers give them."""
    module = kinds.load("probes", word)
    wanted = {
        "probe": ["options", "parts", "timeout"],
        "samples": ["reading"],
        "target": ["options"],
        "aimed": ["options", "target"],
    }
    for name, arguments in wanted.items():
        assert list(inspect.signature(getattr(module, name)).parameters) == arguments
    assert inspect.iscoroutinefunction(module.probe)


@pytest.mark.parametrize("word", PROBES)
def test_a_good_example_has_no_problem(word: str, place: Place) -> None:
    """`problems()` is about mistakes alone."""
    options = example(word, place)
    told = getattr(options, "problems", lambda _: ())(SimpleNamespace(databases={"registry": None}))
    assert list(told) == []


@pytest.mark.parametrize("word", PROBES)
def test_the_target_shows_no_secret(word: str, place: Place) -> None:
    """It stands on the page, in events and in logs."""
    target = kinds.load("probes", word).target(example(word, place))
    assert target
    assert target.isprintable()
    assert CANARY not in target


@pytest.mark.parametrize("word", PROBES)
def test_a_target_from_outside_is_taken_or_refused(word: str, place: Place) -> None:
    """Only kinds of the network take one; the options that it does not name stay; what is no target is a sentence."""
    module = kinds.load("probes", word)
    options = example(word, place)
    if word not in NETWORK:
        with pytest.raises(ValueError, match=r"takes no target: "):
            module.aimed(options, "192.0.2.1:80")
        return
    aimed = module.aimed(options, TARGETS[word])
    assert type(aimed) is module.Options
    assert "192.0.2.1" in module.target(aimed)
    assert "127.0.0.1" not in module.target(aimed)
    changed = {entry.name for entry in entries(module.Options) if _value(aimed, entry) != _value(options, entry)}
    assert changed <= {"url", "address", "server"}
    for bad in ("", " ", "a b", "x\ny", "http://[::1", "user:word@"):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - each kind has its own sentence, which must say something
            module.aimed(options, bad)
        assert len(str(refused.value).split()) > 3
        assert str(refused.value).isprintable()


def _value(options: Any, entry: Any) -> Any:
    return getattr(options, entry.name)


GARBAGE = bytes(range(256)) * 16


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, manner: str) -> None:
        self.manner = manner

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.manner == "garbage":
            self.transport.sendto(GARBAGE, addr)


@contextlib.asynccontextmanager
async def _peer(manner: str) -> AsyncIterator[int]:
    """Serve on a port, for TCP and UDP, in a bad manner; `refusing` is a port at which nothing listens."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            writer.write(GARBAGE if manner == "garbage" else b"")
            if manner != "closing":
                await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with contextlib.ExitStack() as ends:
        ends.callback(server.close)
        if manner == "refusing":
            server.close()
        else:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(manner), local_addr=("127.0.0.1", port)
            )
            ends.callback(transport.close)
        yield port


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Give the connections of probes."""
    made = Wire()
    yield made
    await made.close()


@pytest.mark.parametrize("manner", ["hung", "refusing", "closing", "garbage"])
@pytest.mark.parametrize("word", PROBES)
async def test_a_bad_peer_is_a_reading(word: str, manner: str, wire: Wire, tmp_path: Path) -> None:
    """In time, in words, without the secret, and nothing but declared families comes of it."""
    module = kinds.load("probes", word)
    steps: list[str] = []
    async with _peer(manner) as port:
        url = f"postgresql://me:{CANARY}@127.0.0.1:{port}/registry"
        database = open_database("registry", options_from_url(url))
        parts = Parts(
            wire=wire,
            databases={"registry": database},
            clock=SystemClock(),
            permits=lambda _: True,
            tell=steps.append,
        )
        options = example(word, Place(port, tmp_path))
        async with asyncio.timeout(LONGEST):
            reading = await module.probe(options, parts, TIMEOUT)
        await database.close()
    _is_told(reading, module)
    assert CANARY not in reading.reason + repr(reading.facts) + "".join(steps)
    if word in {"http", "tcp", "tls", "dns", "sql"}:
        assert reading.state == "down"
        assert reading.cause
    _is_shown(reading, module)


def _is_told(reading: Reading, module: ModuleType) -> None:
    assert isinstance(reading, Reading), module.__name__
    assert reading.state in STATES
    assert reading.cause in get_args(Cause)
    assert (reading.cause == "") == (reading.state == "up")
    assert reading.reason.strip()
    assert reading.reason.isprintable()
    assert 0 <= reading.duration < LONGEST
    assert all(math.isfinite(seconds) and seconds >= 0 for seconds in reading.phases.values())


def _is_shown(reading: Reading, module: ModuleType) -> None:
    samples = module.samples(reading)
    assert set(samples) <= set(module.FAMILIES)
    for family, values in samples.items():
        assert all(len(labels) == len(family.labels) for labels in values)
        assert all(isinstance(value, float | int) for value in values.values())
    body = Exposition(module.FAMILIES).render([samples], negotiate(None).form)
    lines = [line for line in body.splitlines() if not line.startswith(b"#")]
    assert len(lines) == sum(map(len, samples.values()))


@pytest.mark.parametrize("word", PROBES)
def test_samples_of_any_reading_are_few_and_declared(word: str) -> None:
    """Also of one that the caller made because the probe broke off."""
    module = kinds.load("probes", word)
    for reading in (Reading("unknown", "it broke off", 0.0, "unexpected"), Reading("down", "late", 1.0, "timeout")):
        _is_shown(reading, module)


@pytest.mark.parametrize("word", ["http", "tcp", "tls", "dns", "icmp"])
async def test_an_address_that_is_not_allowed_is_never_reached(word: str, wire: Wire, tmp_path: Path) -> None:
    """The guard is asked of the numeric address before anything is sent."""
    asked: list[str] = []
    parts = Parts(wire=wire, databases={}, clock=SystemClock(), permits=lambda address: bool(asked.append(address)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        place = Place(listener.getsockname()[1], tmp_path)
        reading = await kinds.load("probes", word).probe(example(word, place), parts, 5.0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert (reading.state, reading.cause) == ("down", "refused")
    assert set(asked) == {"127.0.0.1"}


@pytest.mark.parametrize("word", PROBES)
async def test_a_cancelled_probe_ends(word: str, wire: Wire, tmp_path: Path) -> None:
    """A shutdown or a reload cancels; nothing may take that for a failure of the peer."""
    module = kinds.load("probes", word)
    async with _peer("hung") as port:
        database = open_database("registry", options_from_url(f"postgresql://me:x@127.0.0.1:{port}/registry"))
        parts = Parts(wire=wire, databases={"registry": database}, clock=SystemClock(), permits=lambda _: True)
        task = asyncio.ensure_future(module.probe(example(word, Place(port, tmp_path)), parts, 30.0))
        await asyncio.sleep(0)
        # A look at the pid file, or a host that answers at once, may be over already.
        with pytest.raises(asyncio.CancelledError) if task.cancel() else contextlib.nullcontext():
            async with asyncio.timeout(LONGEST):
                await task
        await database.close()


@pytest.mark.parametrize("word", PROBES)
def test_no_kind_knows_another(word: str) -> None:
    """What two kinds need is a noun of its own."""
    found = FOLDER / f"{word}.py"
    files = [found] if found.exists() else sorted((FOLDER / word).glob("*.py"))
    assert files
    for path in files:
        imported = {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        others = {name for name in imported if re.match(rf"exporter\.probes\.(?!{word}\b)", name)}
        assert others == set(), path


@pytest.mark.parametrize(("word", "hint"), [("htp", "did you mean 'http'"), ("zebra", "known are command")])
def test_an_unknown_word_names_the_nearest(word: str, hint: str) -> None:
    """A typing error in a kind is a sentence."""
    with pytest.raises(UnknownKindError, match=re.escape(hint)):
        kinds.load("probes", word)


def test_a_third_party_kind_is_loaded_like_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an entry point; it cannot take the place of one of ours."""
    theirs = ModuleType("their_probe")
    theirs.FAMILIES = (Family("probe_moons", "gauge", "Moons"),)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_probe", theirs)
    points = tuple(EntryPoint(name, "their_probe", "watchbridge.probes") for name in ("moons", "http"))
    monkeypatch.setattr(
        kinds, "entry_points", lambda **asked: [one for one in points if asked.get("name") in {None, one.name}]
    )
    assert "moons" in kinds.words("probes")
    assert kinds.load("probes", "moons") is theirs
    assert kinds.load("probes", "http").__name__ == "exporter.probes.http"
