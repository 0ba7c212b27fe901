"""Rules in their order, one verdict a step, each with its reason; labels only ever select or fill one value."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.matchers import compiled
from exporter.model import MODES
from exporter.policy import Decision, Rule, Rulebook, Step, decide, stricter

if TYPE_CHECKING:
    from exporter.model import Mode

LABELS = {"alertname": "SyncFailed", "user": "ada", "service": "web", "severity": "page", "empty": ""}
SYNC = Step("enqueue", "sync", "{user}", acts=True)
BY_HAND = Step("enqueue", "by-hand", "{user}")
RESTART = Step("restart", "restarts", service="{service}", acts=True)


def rule(*steps: Step, matchers: str = "", name: str = "a", **changes: Any) -> Rule:
    return Rule(name, compiled([matchers]), steps, **changes)


def book(*rules: Rule, mode: Mode = "auto") -> Rulebook:
    return Rulebook(rules, frozenset({"web", "db"}), mode)


def decided(step: Step, labels: dict[str, str] | None = None) -> Decision:
    (one,) = decide(LABELS if labels is None else labels, book(rule(step)))
    return one


A, B, C = (rule(replace(SYNC, key=key), name=key) for key in ("a", "b", "c"))
PAGES, TICKETS = 'severity="page"', 'severity="ticket"'


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        ((), ""),
        ((A, B), "a"),
        ((replace(A, matchers=compiled([TICKETS])), B, C), "b"),
        ((replace(A, matchers=compiled([TICKETS])),), ""),
        ((replace(A, matchers=compiled([PAGES, 'user="bob"'])), B), "b"),
        ((replace(A, matchers=compiled([PAGES, 'user=~"a.+"'])), B), "a"),
        ((replace(A, follow=True), B, C), "ab"),
        ((replace(A, follow=True), replace(B, matchers=compiled([TICKETS])), C), "ac"),
        ((replace(A, follow=True), replace(B, follow=True), C), "abc"),
        ((replace(A, follow=True, matchers=compiled([TICKETS])), B, C), "b"),
        ((rule(name="nothing"), B), ""),
    ],
)
def test_the_first_rule_that_matches_decides(rules: tuple[Rule, ...], asked: str) -> None:
    """All its matchers must match; the rules after it are asked only where it says so."""
    assert "".join(one.key for one in decide(LABELS, book(*rules))) == asked


def test_several_steps_are_decided_one_by_one() -> None:
    """Each has its place in the rule and its own verdict: one that is refused keeps the others from nothing."""
    steps = (SYNC, Step("enqueue", "sync", "{nobody}", acts=True), BY_HAND, RESTART, Step("none"))
    found = decide(LABELS, book(rule(*steps)))
    assert [(one.rule, one.step, one.action, one.verdict) for one in found] == [
        ("a", 0, "enqueue", "enqueue"),
        ("a", 1, "enqueue", "refuse"),
        ("a", 2, "enqueue", "enqueue"),
        ("a", 3, "restart", "enqueue"),
        ("a", 4, "none", "nothing"),
    ]


def test_what_a_step_leads_to() -> None:
    """Its queue, its key and its service; without a key it is about the alert's name, a restart about its service."""
    assert decided(SYNC) == Decision(
        "a", 0, "enqueue", "enqueue", "waits in sync for its turn", "sync", "ada", None, "auto"
    )
    assert decided(replace(SYNC, key=None)).key == "SyncFailed"
    assert decided(replace(SYNC, key="all users")).key == "all users"
    assert (decided(RESTART).key, decided(RESTART).service, decided(RESTART).queue) == ("web", "web", "restarts")
    about = decided(replace(SYNC, service="{service}"))
    assert (about.key, about.service) == ("ada", "web")
    assert decided(replace(RESTART, service="db")).service == "db"


@pytest.mark.parametrize(
    ("step", "labels", "word", "sentence"),
    [
        (RESTART, {"service": "shop"}, "unknown_service", "there is no service 'shop' in the configuration"),
        (replace(SYNC, service="{service}"), {"service": "shop"}, "unknown_service", "no service 'shop'"),
        (RESTART, {"service": "Web"}, "unknown_service", "no service 'Web'"),
        (RESTART, {"service": "s" * 300}, "unknown_service", "no service '" + "s" * 63 + "…'"),
        (RESTART, {"service": ""}, "missing_label", "there is no 'service'"),
        (SYNC, {"user": ""}, "missing_label", "there is no 'user'"),
        (replace(SYNC, key="{nobody}"), {}, "missing_label", "there is no 'nobody'"),
        (replace(SYNC, key=None), {"alertname": ""}, "missing_label", "there is no 'alertname'"),
        (SYNC, {"user": "u" * 256}, "bad_key", "the key has 256 characters, and 255 are the most"),
        (SYNC, {"user": "  "}, "bad_key", "blank"),
        (SYNC, {"user": "a\nb"}, "bad_key", "cannot be printed"),
        (SYNC, {"user": "a\x1b[2Jb"}, "bad_key", "cannot be printed"),
        (SYNC, {"user": "a\u202eb"}, "bad_key", "cannot be printed"),
        (SYNC, {"user": "\ud800"}, "bad_key", "cannot be printed"),
    ],
)
def test_what_is_refused_says_why(step: Step, labels: dict[str, str], word: str, sentence: str) -> None:
    """One word for programs, one sentence on one line for people, and neither key nor service to act upon."""
    one = decided(step, LABELS | labels)
    assert (one.verdict, one.word, one.key, one.service) == ("refuse", word, "", None)
    assert sentence in one.sentence
    assert one.sentence.isprintable()
    assert len(one.sentence) < 200


HOSTILE = (
    "a;reboot",
    "$(id)",
    "`id`",
    "--now",
    "-Hevil",
    "*",
    "../../x",
    "reboot.target",
    "a.service b.service",
    "web;",
    " web",
    "web ",
    "WEB",
    "we\u0301b",
    "w\u0435b",
    "{service}",
    "{0.__class__}",
    "%s",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_b08_a_label_selects_only_what_is_configured(text: str) -> None:
    """No text of an alert names a service but that of its exact name; as a key it stays one value as it is."""
    one = decided(RESTART, LABELS | {"service": text})
    assert (one.verdict, one.word) == ("refuse", "unknown_service")
    assert decided(SYNC, LABELS | {"user": text}).key == text
    assert decided(SYNC, LABELS | {"user": text, text: "filled"}).key == text


@pytest.mark.parametrize(("whole", "of_rule", "of_queue"), [*itertools.product(MODES, repeat=3)])
def test_of_the_three_modes_the_strictest_holds(whole: Mode, of_rule: Mode, of_queue: Mode) -> None:
    """The global one, the rule's and the queue's; where nobody works the queue off no mode matters."""
    steps = (replace(SYNC, mode=of_queue), replace(BY_HAND, mode=of_queue))
    acts, by_hand = decide(LABELS, book(rule(*steps, mode=of_rule), mode=whole))
    strictest = min((whole, of_rule, of_queue), key=MODES.index)
    assert acts.mode == strictest
    assert acts.verdict == {"observe": "observe", "approve": "hold", "auto": "enqueue"}[strictest]
    assert acts.word == ("" if strictest == "auto" else "mode")
    assert (by_hand.verdict, by_hand.word) == ("enqueue", "")
    assert by_hand.sentence == "waits in by-hand for a person"


def test_the_strictest_of_modes() -> None:
    """It is the first of observe, approve, auto, in whichever order they are given."""
    for several in itertools.permutations(MODES):
        assert stricter(*several) == "observe"
    assert stricter("auto", "approve") == "approve"
    assert stricter("auto") == "auto"


def test_without_a_word_everything_is_only_observed() -> None:
    """A rulebook that nobody gave a mode lets nothing run."""
    (one,) = decide(LABELS, Rulebook((rule(SYNC),), frozenset()))
    assert (one.verdict, one.mode) == ("observe", "observe")


FULL = book(rule(SYNC, matchers='user=~"a|b"'), rule(RESTART, name="b"))


@pytest.mark.parametrize(
    "other",
    [
        replace(FULL, mode="approve"),
        replace(FULL, services=frozenset({"web"})),
        replace(FULL, rules=FULL.rules[::-1]),
        replace(FULL, rules=FULL.rules[:1]),
        replace(FULL, rules=(rule(SYNC, matchers='user=~"a|c"'), FULL.rules[1])),
        replace(FULL, rules=(replace(FULL.rules[0], follow=True), FULL.rules[1])),
        replace(FULL, rules=(replace(FULL.rules[0], steps=(replace(SYNC, acts=False),)), FULL.rules[1])),
    ],
)
def test_rulebooks_that_decide_otherwise_are_told_apart(other: Rulebook) -> None:
    """Incidents are asked about anew only where the rules, the services or the mode changed."""
    assert other.digest != FULL.digest
    assert replace(FULL).digest == FULL.digest
    assert len(FULL.digest) == 16


def test_replicas_of_one_configuration_have_one_rulebook() -> None:
    """The digest is the same in another process, whatever the order of its sets and the places of its objects."""
    text = (
        "from exporter.matchers import compiled\n"
        "from exporter.policy import Rule, Rulebook, Step\n"
        "steps = Step('enqueue', 'q', '{user}', acts=True),\n"
        "print(Rulebook((Rule('a', compiled(['user=~\"a|b\"']), steps),), frozenset('abcdef'), 'auto').digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", text], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, timeout=60
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
