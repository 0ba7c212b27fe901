"""What docs/bridge.md, docs/backlog.md and docs/reliability.md say of states, words, numbers and commands is so."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from servers.backlog import enqueue, incident, new, put, states, the
from shipped.tools import ROOT, program, run

from exporter import episodes, kinds, model
from exporter.alerts import Alert
from exporter.alerts.payload import MOST_ALERTS
from exporter.bridge import decided, intake, options
from exporter.cli import command
from exporter.model import Done, GiveUp, Reading, Retry
from exporter.store import backlog
from exporter.store.backlog_claims import Begin, Holder, KeepBack, Wish, claimed, released
from exporter.web.limits import DELIVERY_LIMIT
from exporter.worker import endings, gate, leases, queues

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BRIDGE, BACKLOG, RELIABILITY = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("bridge", "backlog", "reliability")
)
START = "[*]"
HOUR, DAY = 3600, 86_400


def section(text: str, title: str) -> str:
    """Return the text of a section."""
    found = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert found, title
    return found


def rows(text: str) -> set[str]:
    """Return the words of the first column of a table, without its head; a row may have several."""
    cells = re.findall(r"(?m)^\| ([^|]+) \|", text)
    return {word.strip("` ") for cell in cells[1:] for word in cell.split(",")}


def edges(text: str) -> set[tuple[str, str]]:
    """Return the edges of a diagram of states."""
    [diagram] = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", text, re.DOTALL)
    return set(re.findall(r"(?m)^ +(\S+) --> (\w+)(?: :.*)?$", diagram))


# --- incidents ---


def incident_edges() -> set[tuple[str, str]]:
    """Return all that a message and time do to an incident, over times before, at and after each other."""
    found = set()
    for state, seen, ended, starts in itertools.product(episodes.STATES, (100.0, 900.0), (None, 300.0), (200.0, 400.0)):
        head = episodes.Episode(state, 250.0, 100.0, seen, 100.0, ended, ended)
        for now in (310.0, 1_000.0, 1_000_000.0):
            for status, ends in (("firing", None), ("resolved", 100.0), ("resolved", 500.0)):
                alert = Alert("f", status, {}, {}, starts, ends, "")
                step = episodes.told(head, alert, now, 300.0)
                found.add((START if step.fresh else state, step.episode.state))
                found.add((START, episodes.told(None, alert, now, 300.0).episode.state))
            passed = episodes.passed(head, now, 300.0, 90_000.0)
            found.add((state, (passed or head).state))
    return {(one, other) for one, other in found if one != other}


def test_the_life_of_an_incident_is_what_the_code_does():
    assert edges(section(BRIDGE, "Incidents")) == incident_edges()
    assert rows(section(BRIDGE, "Incidents")) == set(episodes.STATES)


# --- items ---


def ending_edges() -> set[tuple[str, str]]:
    """Return what becomes of an item that runs."""
    queue = queues.Queue("q", (), 3, (1.0,))
    readings = (None, Reading("up", 0.1, "it is well"), Reading("down", 0.1, "it is not"))
    ends = {
        endings.ended(outcome, reading, attempt, queue, 0.0).state
        for outcome, reading, attempt in itertools.product((Done("d"), Retry("r"), GiveUp("g")), readings, (1, 3))
    }
    ends |= {endings.interrupted(reading, 1, queue, 0.0).state for reading in readings}
    return {("running", state) for state in ends}


def hand(store: Any, verb: str, number: int) -> Any:
    """Return what a person does to one item."""
    who = {"actor": "cli:ann", "now": 200.0}
    if verb == "clear":
        return backlog.clear(store, None, **who)
    if verb == "mark_processed":
        return backlog.mark_processed(store, None, number, **who)
    return {"approve": backlog.approve, "retry": backlog.retry}[verb](store, [number], **who)


async def stored_edges(store: Any) -> set[tuple[str, str]]:
    """Return what a person, a claim and the end of an alert make of an item in each state."""
    held = [None, "mode"]
    found = set()
    alert = await incident(store, "a")
    await enqueue(store, [new(incident_id=alert, rule="r")])
    [number] = [item.id for item in await backlog.listed(store)]
    for state, hold in itertools.product(model.ITEM_STATES, held):

        async def as_it_was(state: str = state, hold: str | None = hold) -> None:
            await put(store, number, state=state, hold=hold, due_at=0.0, lease_owner=None, lease_until=None)

        for verb in ("approve", "retry", "clear", "mark_processed"):
            await as_it_was()
            await hand(store, verb, number)
            found.add((state, (await the(store, number)).state))
        for why in (Begin("command", "p"), KeepBack("window", "w", 300.0), KeepBack("resolved", "r", None)):
            await as_it_was()
            found.add((state, await after_claim(store, why)))
        await as_it_was()
        async with store.writing() as connection:
            await backlog.cancelled_by_resolve(connection, [alert], 200.0)
        found.add((state, (await the(store, number)).state))
    await put(store, number, state="pending")
    found.add(("running", await after_claim(store, Begin("command", "p"), gives_back=True)))
    return {(one, other) for one, other in found if one != other}


async def after_claim(store: Any, why: Any, *, gives_back: bool = False) -> str:
    """Return the state of the only item after a claim, and after it was given back if it is."""
    holder = Holder("me", "replica", 30.0)
    async with store.writing() as connection:
        found = await claimed(connection, store, holder, Wish("q", 10), lambda _item, _incident: why)
    if gives_back:
        async with store.writing() as connection:
            await released(connection, holder.owner, found.begun)
    [state] = (await states(store)).values()
    return state


@pytest.fixture
async def store(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> Any:
    return await open_store(new_url("sqlite"))


async def test_the_life_of_an_item_is_what_the_code_does(store: Any):
    """Each edge comes from what the rules, a run, a person, a claim or the end of an alert do in a real store."""
    begins = {(START, state) for state in decided._STATES.values()} | {(START, "done")}
    drawn = edges(section(BRIDGE, "The life of an item"))
    assert drawn == begins | ending_edges() | await stored_edges(store)


def test_every_state_of_an_item_has_its_row():
    assert rows(section(BACKLOG, "States")) == set(model.ITEM_STATES)


def test_every_reason_and_every_mode_has_its_row():
    assert rows(section(BRIDGE, "Why something is not done")) == set(model.HOLDS)
    assert rows(section(BRIDGE, "Modes")) == set(model.MODES)


def test_every_kind_of_action_has_its_row():
    assert rows(section(BRIDGE, "Actions")) == set(kinds.built_in("actions"))


# --- numbers ---


def test_the_numbers_are_those_of_the_code():
    flat = " ".join(BRIDGE.split())
    kept = options.IncidentsOptions()
    assert f"late_for ({kept.late_for / 60:g}m)" in flat
    assert f"silent_after ({kept.silent_after / HOUR:g}h)" in flat
    assert f"for {kept.retention / DAY:g} days (`incidents.retention`)" in flat
    assert f"every {gate.WINDOW_AGAIN:g} s" in flat
    assert f"larger than {DELIVERY_LIMIT // 2**20} MiB or of more than {MOST_ALERTS:,} alerts" in flat
    assert queues.TELLING_ATTEMPTS == 10
    telling = queues.Queue("q", (), queues.TELLING_ATTEMPTS, queues.TELLING_BACKOFF)
    waits = [telling.wait(attempt) for attempt in range(1, telling.attempts)]
    assert 24 * 60 < sum(waits) < 27 * 60
    assert "tried ten times, for about 25 minutes" in flat
    assert f"kept for {options.BacklogOptions().retention / DAY:g} days (`backlog.retention`)" in BACKLOG
    assert options.BacklogOptions().test_mode is True
    operating = " ".join((ROOT / "docs/operating.md").read_text("utf-8").split())
    assert f"its lease ends ({leases.LEASE:g} s)" in operating
    assert f"up to {intake.WAITING:,} wait" in operating


# --- commands ---

NAMED = re.compile(r"`watchbridge ((?:[a-z_-]+ ?)+)")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_is_there(path: Path):
    """Also those in tables, which nobody runs: with its subcommand, where it has some."""
    context = click.Context(command)
    for words in NAMED.findall(path.read_text("utf-8")):
        first, *rest = words.split()
        found = command.get_command(context, first)
        assert found is not None, words
        if isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
            assert found.get_command(context, rest[0]) is not None, words


def test_the_old_words_of_the_backlog_all_have_their_row():
    """S2's helper: add, list, status, process, clear, mark_processed, and its three files."""
    migrating = (ROOT / "docs/migrating.md").read_text("utf-8").partition("## The backlog of the pipeline")[2]
    for text in (section(BACKLOG, "The old commands and ours"), migrating):
        for word in ("add USER_ID", "list", "status", "process --test", "clear", "mark_processed USER_ID"):
            assert re.search(rf"(?m)^\| `(?:backlog_helper\.sh )?{word}", text), word
        assert all(name in text for name in ("pending_users.jsonl", "processed_users.jsonl", "logs/backlog.log"))


def test_alertmanager_accepts_the_snippet_of_its_configuration(tmp_path: Path):
    [snippet] = [block for block in re.findall(r"```yaml\n(.*?)```", BRIDGE, re.DOTALL) if "receivers" in block]
    assert yaml.safe_load(snippet)["receivers"]
    (tmp_path / "alertmanager.yml").write_text(snippet, "utf-8")
    run(program("amtool", "prometheus-alertmanager"), "check-config", tmp_path / "alertmanager.yml")


# --- reliability ---


def test_every_invariant_has_tests_that_are_there():
    lines = re.findall(r"(?m)^\| (I\d+) \|.*`make test TESTS=\"([^\"]+)\"` \|$", RELIABILITY)
    assert [name for name, _ in lines] == [f"I{number}" for number in range(1, 12)]
    for _, paths in lines:
        assert all((ROOT / path).exists() for path in paths.split())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_nothing_is_promised_that_nobody_can_keep(path: Path):
    """What may be done twice after a crash is never said to be done precisely one time."""
    assert not re.search(r"exactly[- ]once", path.read_text("utf-8"), re.IGNORECASE)


def test_what_is_promised_is_said_in_both_places():
    flat = [" ".join(text.lower().split()) for text in (BRIDGE, RELIABILITY)]
    promise = (
        "acknowledged is durable; enqueued once for each incident; at most one run at a time; "
        "run again only after a verified failure."
    )
    assert all(promise in text for text in flat)
