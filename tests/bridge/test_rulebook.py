"""From the words of the configuration to rules and notices as they are asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exporter import config
from exporter.bridge import notices
from exporter.bridge.options import RuleOptions, RuleStep, notify_identities
from exporter.bridge.rulebook import rulebook
from exporter.bridge.terms import terms
from exporter.matchers import Matcher
from exporter.policy import Rule, Rulebook, Step, decide

SERVICES = (
    "services: {web: {probe: {kind: tcp, address: '127.0.0.1:1'}}, db: {probe: {kind: tcp, address: '[::1]:1'}}}\n"
)
QUEUES = (
    "queues:\n"
    "  sync: {action: {kind: command, argv: [/bin/true]}}\n"
    "  careful: {action: {kind: command, argv: [/bin/true]}, mode: approve}\n"
    "  by-hand: {mode: observe}\n"
)


def read(text: str) -> Any:
    """Return the configuration of a text, with services and queues."""
    return config.parse(SERVICES + QUEUES + text, name="f", environ={})


def test_without_a_word_nothing_is_done() -> None:
    """No rules, and only observed: what nobody allowed is not done."""
    found = config.parse("", name="f", environ={})
    assert rulebook(found) == Rulebook((), frozenset(), "observe", frozenset())
    assert notices.notices(found) == ()


def test_each_word_of_a_rule_reaches_it() -> None:
    """Matchers of several texts are one list; a queue's action and mode are those of its steps."""
    found = rulebook(
        read(
            "mode: auto\n"
            "rules:\n"
            '  - {name: first, matchers: [\'alertname="A", team!="x"\', \'severity=~"a|b"\'], action: enqueue,'
            " queue: careful, key: '{user}', service: '{service}', continue: true}\n"
            "  - {matchers: [a=b], mode: approve, actions: [{action: enqueue, queue: by-hand},"
            " {action: restart, service: web}, {action: none}]}\n"
        )
    )
    assert found.mode == "auto"
    assert found.services == {"web", "db"}
    first, second = found.rules
    assert first == Rule(
        "first",
        (Matcher("alertname", "=", "A"), Matcher("team", "!=", "x"), Matcher("severity", "=~", "a|b")),
        (Step("enqueue", "careful", "{user}", "{service}", acts=True, mode="approve", number=first.steps[0].number),),
        "auto",
        follow=True,
    )
    assert len({step.number for step in (*first.steps, *second.steps)}) == 4, "each is known by what it says"
    assert (second.mode, second.follow) == ("approve", False)
    assert tuple(replace(step, number=0) for step in second.steps) == (
        Step("enqueue", "by-hand", mode="observe"),
        Step("restart", "restarts", service="web", acts=True),
        Step("none"),
    )
    assert second.id.startswith("rule-")


def test_the_rules_of_the_design_decide_as_they_say() -> None:
    """The shipped alert restarts its target, another one its service, and the third is work for a queue."""
    found = rulebook(
        read(
            "mode: auto\n"
            "rules:\n"
            "  - {matchers: ['alertname=\"WatchbridgeServiceDown\"'], action: restart, service: '{target}'}\n"
            "  - {matchers: ['alertname=\"ServiceDown\"', 'severity=~\"critical|page\"'], action: restart,"
            " service: '{service}'}\n"
            "  - {matchers: ['alertname=\"UserSyncFailed\"'], action: enqueue, queue: sync, key: '{user_id}'}\n"
        )
    )
    for labels, expected in (
        ({"alertname": "WatchbridgeServiceDown", "target": "web"}, ("restarts", "web", "web", "enqueue")),
        ({"alertname": "ServiceDown", "severity": "page", "service": "db"}, ("restarts", "db", "db", "enqueue")),
        ({"alertname": "ServiceDown", "severity": "pages", "service": "db"}, None),
        ({"alertname": "UserSyncFailed", "user_id": "7"}, ("sync", "7", None, "enqueue")),
        ({"alertname": "ServiceDown", "severity": "page", "service": "x"}, ("restarts", "", None, "refuse")),
    ):
        found_steps = [(one.queue, one.key, one.service, one.verdict) for one in decide(labels, found)]
        assert found_steps == ([] if expected is None else [expected])


def test_a_rule_is_known_by_its_name_or_by_what_it_does() -> None:
    """Neither its place, nor its mode, nor whether others follow changes which it is; what it does, does."""
    step = RuleStep(action="enqueue", queue="sync", key="{user}")
    plain = RuleOptions(matchers=("a=b",), action="enqueue", queue="sync", key="{user}")
    same = (
        RuleOptions(matchers=("a=b",), actions=(step,)),
        RuleOptions(matchers=("a=b",), action="enqueue", queue="sync", key="{user}", mode="approve", continue_=True),
    )
    others = (
        RuleOptions(matchers=("a=c",), actions=(step,)),
        RuleOptions(matchers=("a=b",), actions=(step, step)),
        RuleOptions(matchers=("a=b",), action="enqueue", queue="sync"),
        RuleOptions(matchers=("a=b",), action="enqueue", queue="other", key="{user}"),
        RuleOptions(matchers=("a=b",), action="restart", service="web"),
        RuleOptions(name="rule", matchers=("a=b",), actions=(step,)),
    )
    assert {one.identity for one in same} == {plain.identity}
    assert len({one.identity for one in (plain, *others)}) == 1 + len(others)
    assert all(len(one.identity) <= 64 for one in others)


def entry(text: str) -> Any:
    """Return an entry of `notify`."""
    return read(f"notify: [{{{text}}}]\n").notify[0]


CHAT = "on: incident, action: {kind: http, url: 'https://chat.example/hooks/one-of-many'}"


def test_an_entry_of_notify_is_known_by_its_name_or_by_what_it_says() -> None:
    """Its place and how long it may take change nothing; neither does a secret, so that none can be guessed from it."""
    plain = entry(CHAT)
    same = (entry(CHAT.replace("}", ", timeout: 1s}")), entry(CHAT.replace("one-of-many", "another-one")))
    others = (
        entry(CHAT.replace("incident", "backlog")),
        entry(CHAT.replace("chat.example", "other.example")),
        entry(CHAT + ", matchers: [a=b]"),
        entry("on: incident, action: {kind: command, argv: [/bin/true]}"),
        entry("on: incident, action: {kind: command, argv: [/bin/false]}"),
        entry("name: chat, " + CHAT),
    )
    assert {one.identity for one in same} == {plain.identity}
    assert len({one.identity for one in (plain, *others)}) == 1 + len(others)
    assert list(notify_identities((plain, others[0], *same))) == [
        plain.identity, others[0].identity, f"{plain.identity}-2", f"{plain.identity}-3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("second", "warns"),
    [
        (CHAT, False),
        (CHAT.replace("one-of-many", "another-one"), True),
        ("name: other, " + CHAT.replace("one-of-many", "another-one"), False),
        (CHAT.replace("incident", "backlog").replace("one-of-many", "another-one"), False),
    ],
)
def test_entries_that_only_their_place_tells_apart_are_warned_of(second: str, *, warns: bool) -> None:
    """Only where it matters: those that tell the same people may change places."""
    told = [one for one in read(f"notify:\n  - {{{CHAT}}}\n  - {{{second}}}\n").warnings if "place alone" in one]
    assert [one.partition(": ")[2].partition(" is told")[0] for one in told] == (["notify[1]:"] if warns else [])


def test_the_terms_of_a_configuration() -> None:
    """The rules, who is told, and the times of incidents."""
    found = read("mode: approve\nincidents: {silent_after: 2h, late_for: 1m}\nrules: [{action: none}]\n")
    assert terms(found).rulebook == rulebook(found)
    assert (terms(found).late_for, terms(found).silent_after, terms(found).notices) == (60.0, 7200.0, ())
    found = config.parse("", name="f", environ={})
    assert (terms(found).late_for, terms(found).silent_after) == (300.0, 25 * 3600.0)


@pytest.mark.parametrize(
    ("mode", "expected"), [("", "observe"), ("mode: approve\n", "approve"), ("mode: auto\n", "auto")]
)
def test_only_programs_have_a_mode_in_a_notice(mode: str, expected: str) -> None:
    """To tell somebody is no deed; to start a program is one."""
    found = notices.notices(
        read(
            f"{mode}notify:\n"
            "  - {name: chat, on: incident, action: {kind: http, url: 'http://127.0.0.1:1/'}}\n"
            "  - {name: desk, on: backlog, matchers: ['a=b', 'c=~d'], action: {kind: command, argv: [/bin/true]}}\n"
        )
    )
    assert [(one.identity, one.on, one.kind, one.mode) for one in found] == [
        ("chat", "incident", "http", "auto"),
        ("desk", "backlog", "command", expected),
    ]
    assert found[1].matchers == (Matcher("a", "=", "b"), Matcher("c", "=~", "d"))
