"""What docs/restarts.md says of circuits, decisions, attempts, kinds and numbers is what the code does."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields

import pytest
from shipped.tools import ROOT

from exporter import circuit, kinds
from exporter.circuit import CLOSED, Limits
from exporter.collectors.actions import HEALTHY, OUTCOMES
from exporter.config.words import duration
from exporter.process_alarms.alarms import AGAIN_AFTER
from exporter.restarting.attempt import Attempt
from exporter.restarting.options import (
    BY_CRITICALITY,
    PRESETS,
    CircuitOptions,
    FleetBreakerOptions,
    GroupOptions,
    RestartsOptions,
    RestartTiming,
)
from exporter.store.backlog_rows import BacklogItem
from exporter.worker import gate, leases, restart_endings, restart_gate

TEXT = (ROOT / "docs/restarts.md").read_text("utf-8")
START = "[*]"
DAY = 86_400


def section(title: str) -> str:
    """Return the text of a section."""
    found = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert found, title
    return found


def flat(title: str) -> str:
    return " ".join(section(title).split())


def tables(title: str) -> list[list[list[str]]]:
    """Return the tables of a section: of each its rows, without the head, as cells."""
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?m)(?:^\|.*\n)+", section(title)):
        rows = [re.split(r" \| ", line.strip().removeprefix("| ").removesuffix(" |")) for line in block.splitlines()]
        found.append(rows[2:])
    return found


def words(rows: list[list[str]]) -> list[str]:
    """Return what stands in the first column; a row may be of several."""
    return [word.strip("` ") for row in rows for word in row[0].split(",")]


# --- the circuit ---


def circuit_edges() -> set[tuple[str, str]]:
    """Return all that restarts, time and a person do to a circuit, from every state that can be come to."""
    limits = Limits(2, 60.0)
    edges = {(START, CLOSED.state(0.0))}
    seen, new = set(), {(CLOSED, 0.0)}
    for _ in range(6):
        found = set()
        for one, now in new:
            for later in (now, now + 30.0, now + 60.0):
                edges.add((one.state(now), one.state(later)))
                steps = [circuit.step(one, ok, later, limits) for ok in (True, False)]
                steps += [circuit.tried(one, 7, later), circuit.dropped(one, 7), circuit.reset(one)]
                edges |= {(one.state(later), after.state(later)) for after in steps}
                found |= {(after, later) for after in steps}
        seen |= new
        new = found - seen
    return {(one, other) for one, other in edges if one != other}


def test_the_life_of_a_circuit_is_what_the_code_does():
    [diagram] = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", section("The circuit"), re.DOTALL)
    drawn = set(re.findall(r"(?m)^ +(\S+) --> (\w+)(?: :.*)?$", diagram))
    assert drawn == circuit_edges()
    assert words(tables("The circuit")[0]) == list(circuit.STATES)


def test_when_a_circuit_opens_is_what_the_options_say():
    said = flat("The circuit")
    low, normal, high = (BY_CRITICALITY[word] for word in ("low", "normal", "high"))
    assert (
        f"after {low}, {normal} or {high} failures in a row by the service's `criticality` (`low`, `normal`, `high`)"
        in said
    )
    resets = {CircuitOptions().limits(word)[1] for word in BY_CRITICALITY}
    assert resets == {300.0}
    assert "a trial through after 5 minutes" in said
    assert PRESETS == {"process": (3, 300.0), "message": (5, 300.0)}
    assert "`preset: process` is 3 failures and 5 minutes, `preset: message` 5 and 5 minutes" in said
    assert GroupOptions().circuit.limits("normal") == (5, 300.0)
    assert "on by itself, with 5 failures and 5 minutes" in said


# --- the decisions ---


def test_the_order_of_decisions_is_that_of_the_gate():
    """In the table, and in the diagram from the top."""
    assert words(tables("The order of decisions")[0]) == list(restart_gate.REASONS)
    [diagram] = re.findall(r"```mermaid\nflowchart TD\n(.*?)```", section("The order of decisions"), re.DOTALL)
    told = re.findall(r"(?m)^ +(\w)(?:\{.*\})? -- (\w+) --> (\w)", diagram)
    assert [word for _, word, _ in told] == list(restart_gate.REASONS)
    follows = dict(re.findall(r"(?m)^ +(\w) --> (\w)", diagram))
    asked = [node for node, _, _ in told]
    assert [follows[node] for node in asked[:-1]] == asked[1:], "what speaks not against it leads to the next one"
    ends = {word: end for _, word, end in told}
    assert {word for word, end in ends.items() if end != "H"} == {"resolved", "settled"}


def test_when_it_is_looked_at_again_is_what_the_gate_says():
    again = {row[0].strip("`"): row[2] for row in tables("The order of decisions")[0]}
    assert again["window"] == again["silenced"] == f"every {gate.WINDOW_AGAIN:g} s"
    many = restart_gate.AGAIN / restart_gate.FLEET_AGAIN
    assert again["fleet"] == (
        f"every {restart_gate.AGAIN:g} s; with more than {many:g} failing services,"
        f" {restart_gate.FLEET_AGAIN:g} s for each, a minute at most"
    )
    assert restart_gate.LONGEST_FLEET_AGAIN == 60.0
    assert again["dependency"].startswith(f"every {restart_gate.AGAIN:g} s")
    assert again["resolved"].startswith(f"every {restart_gate.AGAIN:g} s")
    assert again["busy"].startswith(f"every {restart_gate.BUSY_AGAIN:g} s")
    assert "What a person wants" in section("The order of decisions")


# --- attempts ---


def test_the_keys_beside_a_kind_have_their_rows_and_defaults():
    rows, options = tables("One attempt")[0], RestartTiming()
    named = {word: row for row in rows for word in words([row])}
    assert set(named) == {field.name for field in fields(RestartTiming)}
    for word, default in (("check", "true"), ("attempts", str(options.attempts)), ("verify", "the service's `probe`")):
        assert named[word][1] == default
    for word in ("timeout", "delay", "verify_timeout", "rest"):
        assert duration(named[word][1]) == getattr(options, word)
    assert duration(named["before"][1].removeprefix("-, ")) == options.before_timeout


def item(attempts: int, origin: str) -> BacklogItem:
    """Return an item whose attempt of that number has ended."""
    blank = dict.fromkeys(field.name for field in fields(BacklogItem))
    return BacklogItem(**{**blank, "attempts": attempts, "origin": origin, "created_at": 0.0})  # type: ignore[arg-type]


def test_what_becomes_of_an_item_is_what_the_code_does():
    rows = {row[0].strip("`"): row for row in tables("One attempt")[1]}
    assert list(rows) == ["done", HEALTHY, *OUTCOMES[1:]]
    timing = RestartTiming()
    judged = {"done": (True,), HEALTHY: (None,), "retry": (False, None), "unverified": (False,), "give_up": (False,)}
    for word, verdicts in judged.items():
        states = {
            restart_endings.ended(Attempt(word, "x", verified=one), item(number, "rule"), timing, 0.0).state
            for one, number in itertools.product(verdicts, range(1, 6))
        }
        assert states == {rows[word][1].partition(":")[0]}, word
    for verified, state in ((True, "done"), (False, "failed")):
        after = restart_endings.ended(Attempt("interrupted", "x", verified=verified), item(1, "rule"), timing, 0.0)
        assert after.state == state
        assert state in rows["interrupted"][1]
    assert f"every {restart_endings.LONGEST_LOOK / 60:g} minutes at the least" in rows[HEALTHY][1]


def test_what_a_person_wanted_ends_after_its_attempts():
    timing = RestartTiming()
    failed = Attempt("unverified", "x", verified=False)
    states = [restart_endings.ended(failed, item(number, "cli"), timing, 0.0).state for number in (1, timing.attempts)]
    assert states == ["failed", "dead"]
    assert "What a person wanted is dead after its `attempts`" in flat("One attempt")


# --- kinds ---


def test_every_kind_has_its_row_and_says_whether_it_looks_by_itself():
    rows = {row[0].strip("`"): row for row in tables("Kinds")[0]}
    assert set(rows) == kinds.built_in("restarts")
    for word, row in rows.items():
        kind = kinds.load("restarts", word)
        assert row[2].startswith("no: needs `verify`") is not kind.VERIFIES, word
        assert row[3].startswith("yes" if kind.ON_HOST else "no"), word


@pytest.mark.parametrize("word", sorted(kinds.built_in("restarts")))
def test_what_acts_on_a_host_is_said(word: str):
    """One alone acts on none."""
    assert kinds.load("restarts", word).ON_HOST is (word != "kubernetes")
    assert "A restart acts on the host that it is run on, but for `kubernetes`" in flat("Nodes and replicas")


# --- numbers ---


def test_the_numbers_are_those_of_the_code():
    breaker, restarts = FleetBreakerOptions(), RestartsOptions()
    said = flat("Budgets and the fleet")
    assert (breaker.enabled, breaker.at_least, breaker.share, breaker.per) == (True, 5, 0.5, 600.0)
    assert "at least 5 and more than half of all services" in said
    assert "within the last 10 minutes" in said
    assert f"`restarts.concurrency` ({restarts.concurrency})" in said
    assert f"for {restarts.retention / DAY:g} days (`restarts.retention`)" in flat("By a person")
    assert f"the end of the lease ({leases.LEASE:g} s," in flat("Nodes and replicas")
    assert f"ends its restart {leases.MARGIN:g} s before the lease does" in flat("What we promise")
    assert f"still stands {AGAIN_AFTER / 60:g} minutes after its item has ended" in flat("Process alarms")
