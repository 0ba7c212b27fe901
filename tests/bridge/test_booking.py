"""Alerts as incidents, decisions as items: one an episode and step, whatever comes together in one batch."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from bridge.scenes import ENQUEUE, counted, delivery, firing, resolved, rule, scene, terms
from servers.watched import NOON

from exporter.bridge.booking import HELD
from exporter.bridge.notices import Notice
from exporter.matchers import compiled
from exporter.model import MODES
from exporter.policy import Step
from exporter.store import audit, backlog

if TYPE_CHECKING:
    from exporter.alerts import Alert
    from exporter.bridge.terms import Terms
    from exporter.model import Mode
    from exporter.store.store import Store

MINUTE = 60.0
BY_HAND = Step("enqueue", "by-hand", "{user}")
RESTART = Step("restart", "restarts", service="{service}", acts=True)
TOLD = Notice("chat", "incident", "http", (), "auto")


async def taken(store: Store, told: Terms, *alerts: Alert) -> tuple[list[Any], list[Any]]:
    """Deliver alerts together, and return the incidents and the items."""
    async with scene(store, told) as one:
        await one.one(*alerts)
        return await one.incidents(), await one.items()


async def test_an_incident_and_its_item(store: Store) -> None:
    """All that the alert said is kept with both, each decision has its entry, and who waits for items is woken."""
    async with scene(store) as one:
        receipt = await one.take(delivery(firing(starts_at=NOON - 30), receiver="team"))
        (incident,), (item,) = await one.incidents(), await one.items()
        assert counted(receipt) == Counter(accepted=1)
        assert (incident.fingerprint, incident.receiver, incident.deliveries) == ("of-ada", "team", 1)
        assert incident.labels == {"alertname": "SyncFailed", "user": "ada"}
        assert incident.rulebook == one.intake.terms.rulebook.digest
        assert (incident.episode.state, incident.episode.starts_at) == ("open", NOON - 30)
        assert (item.queue, item.key, item.state, item.origin) == ("sync", "ada", "pending", "rule")
        assert (item.incident_id, item.rule, item.step) == (incident.id, "rule-1", 0)
        assert item.reason == "SyncFailed: the sync of ada failed"
        assert item.explanation == "waits in sync for its turn"
        assert item.context == {
            "labels": dict(incident.labels),
            "annotations": dict(incident.annotations),
            "starts_at": NOON - 30,
            "generator_url": "",
        }
        (entry,) = await audit.of(one.store, "incident", incident.id)
        assert (entry.actor, entry.verb, entry.reason) == ("alertmanager", "opened", "waits in sync for its turn")
        assert [each["verdict"] for each in entry.details["decisions"]] == ["enqueue"]
        assert one.wakes == 1


async def test_no_rule_is_a_decision_too(store: Store) -> None:
    """The incident is kept, nothing is enqueued, and the audit says that no rule matches."""
    async with scene(store, terms(rule(matchers='alertname="Other"'))) as one:
        assert counted([await one.one(firing())]) == Counter(accepted=1)
        (incident,) = await one.incidents()
        assert (await one.items(), incident.episode.state) == ([], "open")
        (entry,) = await audit.of(one.store, "incident", incident.id)
        assert (entry.reason, entry.details) == ("no rule matches it", {"decisions": []})


BATCHES: dict[str, tuple[list[Alert], list[str], dict[str, int], list[str]]] = {
    "fires twice": ([firing(), firing()], ["open"], {"accepted": 1, "duplicate": 1}, ["pending"]),
    "fires and ends": ([firing(), resolved(ends_at=NOON + 1)], ["resolved"], {"accepted": 2}, ["cancelled"]),
    "ends and fires": (
        [resolved(ends_at=NOON + 1), firing()],
        ["resolved", "late"],
        {"accepted": 1, "late": 1},
        [],
    ),
    "fires, ends, fires again": (
        [firing(), resolved(ends_at=NOON + 1), firing(starts_at=NOON + 2)],
        ["resolved", "open"],
        {"accepted": 3},
        ["cancelled", "pending"],
    ),
    "fires, ends, and its resend was overtaken": (
        [firing(), resolved(ends_at=NOON + 1), firing(), resolved(ends_at=NOON + 1)],
        ["resolved", "resolved"],
        {"accepted": 3, "late": 1},
        ["cancelled"],
    ),
    "five episodes": (
        [
            each
            for at in range(5)
            for each in (firing(starts_at=NOON + 2 * at), resolved(ends_at=NOON + 2 * at + 1, starts_at=NOON + 2 * at))
        ],
        ["resolved"] * 5,
        {"accepted": 10},
        ["cancelled"] * 5,
    ),
    "late becomes news": (
        [resolved(ends_at=NOON + 1), firing(), firing(starts_at=NOON + 2)],
        ["resolved", "open"],
        {"accepted": 2, "late": 1},
        ["pending"],
    ),
}


@pytest.mark.parametrize("before", ["", "open", "resolved", "late"])
@pytest.mark.parametrize("batch", BATCHES)
async def test_one_fingerprint_several_times_in_a_batch(store: Store, batch: str, before: str) -> None:
    """Together they mean what they mean one after the other, after any past; only deliveries are counted together."""
    alerts, states, outcomes, items = BATCHES[batch]
    past = {"": [], "open": [firing(starts_at=NOON - 50)]}
    past["resolved"] = [*past["open"], resolved(ends_at=NOON - 40, starts_at=NOON - 50)]
    past["late"] = [*past["resolved"], firing(starts_at=NOON - 45)]
    found = []
    for together in (True, False):
        async with scene(store) as one:
            user = f"user-{together}"

            def of(alert: Alert, user: str = user) -> Alert:
                return replace(alert, fingerprint=user, labels=dict(alert.labels) | {"user": user})

            for alert in past[before]:
                await one.one(of(alert))
            if together:
                await one.one(*map(of, alerts))
            else:
                for alert in alerts:
                    await one.one(of(alert))
            mine = [each for each in await one.incidents() if each.fingerprint == user]
            numbers = [each.id for each in mine]
            led = [
                (numbers.index(each.incident_id or 0), each.state, each.hold)
                for each in await one.items()
                if each.key == user
            ]
            found.append(([(each.episode, each.deliveries, each.rulebook) for each in mine], led, await one.outcomes()))
            if not before:
                assert [each.episode.state for each in mine] == states
                assert await one.outcomes() == outcomes
                assert [state for _, state, _ in led] == items
    assert found[0] == found[1]


async def test_alerts_of_several_senders_in_one_transaction(store: Store) -> None:
    """Each delivery is told of its own alerts, and each incident keeps who told of it first."""
    async with scene(store) as one:
        receipts = await one.take(
            delivery(firing("a"), firing("b"), receiver="one"),
            delivery(firing("b"), firing("c"), receiver="two", group_key="other"),
            delivery(resolved("a", NOON + 1), receiver="two"),
        )
        assert [counted([each]) for each in receipts] == [
            Counter(accepted=2),
            Counter(accepted=1, duplicate=1),
            Counter(accepted=1),
        ]
        assert [(each.fingerprint, each.deliveries) for each in await one.incidents()] == [
            ("of-a", 2),
            ("of-b", 2),
            ("of-c", 1),
        ]
        assert one.store.done == 1


async def test_an_end_cancels_what_has_not_begun(store: Store) -> None:
    """What waits or is held is cancelled and counted; what runs goes on and says so; what is done stays done."""
    steps = [replace(ENQUEUE, queue=name) for name in ("waits", "held", "runs", "done", "by-hand")]
    steps[1] = replace(steps[1], mode="approve")
    async with scene(store, terms(rule(*steps))) as one:
        await one.one(firing())
        numbers = {each.queue: each.id for each in await one.items()}
        async with store.writing() as connection:
            for queue, state in (("runs", "running"), ("done", "done")):
                table = backlog.backlog_items
                change = table.update().where(table.c.id == numbers[queue]).values(state=state)
                await connection.execute(change)
        await one.one(resolved(ends_at=NOON + 1))
        assert {each.queue: (each.state, each.hold) for each in await one.items()} == {
            "waits": ("cancelled", "resolved"),
            "held": ("cancelled", "resolved"),
            "runs": ("running", None),
            "done": ("done", None),
            "by-hand": ("cancelled", "resolved"),
        }
        assert await one.total(HELD, "resolved") == 3
        (incident,) = await one.incidents()
        entries = await audit.of(store, "incident", incident.id)
        assert [(each.verb, each.actor) for each in entries] == [("opened", "alertmanager"), ("closed", "alertmanager")]


@pytest.mark.parametrize(
    ("step", "labels", "sentence"),
    [
        (RESTART, {"service": "shop"}, "there is no service 'shop' in the configuration"),
        (RESTART, {"service": "web;reboot"}, "there is no service 'web;reboot' in the configuration"),
        (RESTART, {}, "there is no 'service' to put into '{service}'"),
        (replace(ENQUEUE, key="{nobody}"), {}, "there is no 'nobody' to put into '{nobody}'"),
        (ENQUEUE, {"user": "a\nb"}, "the key is blank or holds what cannot be printed"),
    ],
)
async def test_what_is_refused_is_kept_and_told(
    store: Store, step: Step, labels: dict[str, str], sentence: str
) -> None:
    """The alert is counted as refused, once; the incident is there, no item is, and the audit says why."""
    async with scene(store, terms(rule(step))) as one:
        alert = firing(fingerprint="f")
        alert = replace(alert, labels=dict(alert.labels) | labels)
        assert counted([await one.one(alert)]) == Counter(refused=1)
        assert counted([await one.one(alert)]) == Counter(duplicate=1)
        (incident,) = await one.incidents()
        assert (await one.items(), incident.episode.state) == ([], "open")
        (entry,) = await audit.of(store, "incident", incident.id)
        assert entry.reason == f"refused: {sentence}"
        assert await one.outcomes() == {"refused": 1, "duplicate": 1}


async def test_one_step_that_is_refused_costs_the_others_nothing(store: Store) -> None:
    """The alert is accepted where anything of it can be done."""
    async with scene(store, terms(rule(RESTART, BY_HAND, Step("none")))) as one:
        assert counted([await one.one(firing())]) == Counter(accepted=1)
        assert [(each.queue, each.step) for each in await one.items()] == [("by-hand", 1)]


@pytest.mark.parametrize("whole", MODES)
async def test_the_strictest_mode_holds(store: Store, whole: Mode) -> None:
    """To observe is final, approve waits for a person, auto for its turn; no mode matters where nobody works it off."""
    pairs: list[tuple[Mode, Mode]] = [*itertools.product(MODES, repeat=2)]
    rules = (
        rule(replace(ENQUEUE, mode=of_queue), replace(BY_HAND, mode=of_queue), id=f"{of_rule} {of_queue}", mode=of_rule)
        for of_rule, of_queue in pairs
    )
    async with scene(store, terms(*(replace(each, follow=True) for each in rules), mode=whole)) as one:
        assert counted([await one.one(firing())]) == Counter(accepted=1)
        items = {(each.rule, each.step): each for each in await one.items()}
        held = 0
        for of_rule, of_queue in pairs:
            acts, by_hand = (items[f"{of_rule} {of_queue}", step] for step in (0, 1))
            strictest: Any = min((whole, of_rule, of_queue), key=MODES.index)
            assert (acts.mode, acts.state, acts.hold) == {
                "observe": ("observe", "cancelled", "mode"),
                "approve": ("approve", "held", "mode"),
                "auto": ("auto", "pending", None),
            }[strictest]
            assert (acts.finished_at is not None) == (strictest == "observe")
            assert (by_hand.state, by_hand.hold) == ("pending", None)
            held += strictest != "auto"
        assert await one.total(HELD, "mode") == held


async def test_what_was_observed_is_never_run(store: Store) -> None:
    """After the mode was changed an open incident is asked about again, and its item stays what it was: final."""
    async with scene(store, terms(mode="observe")) as one:
        await one.one(firing())
        before = await one.items()
        one.intake.terms = terms(mode="auto")
        assert counted([await one.one(firing())]) == Counter(duplicate=1)
        assert await one.items() == before
        await one.one(resolved(ends_at=NOON + 1), firing(starts_at=NOON + 2))
        assert [each.state for each in await one.items()] == ["cancelled", "pending"]


async def test_rules_that_follow_are_asked_where_one_continues(store: Store) -> None:
    """Each rule's steps are items of their own."""
    rules = (
        rule(ENQUEUE, BY_HAND, id="first", follow=True),
        rule(ENQUEUE, id="other", matchers='alertname="Other"'),
        rule(ENQUEUE, id="second"),
        rule(ENQUEUE, id="third"),
    )
    _, items = await taken(store, terms(*rules), firing())
    assert [(each.rule, each.step, each.queue) for each in items] == [
        ("first", 0, "sync"),
        ("first", 1, "by-hand"),
        ("second", 0, "sync"),
    ]


async def test_a_rule_that_changes_while_an_incident_is_open(store: Store) -> None:
    """The rules are asked again with the next resend, once, and lead only to what they had not led to."""
    async with scene(store) as one:
        await one.one(firing())
        more = terms(rule(ENQUEUE, BY_HAND))
        one.intake.terms = more
        for _ in range(3):
            assert counted([await one.one(firing())]) == Counter(duplicate=1)
        assert [(each.queue, each.step) for each in await one.items()] == [("sync", 0), ("by-hand", 1)]
        (incident,) = await one.incidents()
        assert (incident.rulebook, incident.deliveries) == (more.rulebook.digest, 4)
        assert [each.verb for each in await audit.of(store, "incident", incident.id)] == ["opened", "decided"]
        one.intake.terms = terms(rule(matchers='alertname="Other"'))
        await one.one(firing())
        assert len(await one.items()) == 2


async def test_a_rule_that_is_moved_acts_once(store: Store) -> None:
    """It is known by its name or by what it does, not by its place."""
    first, second = rule(ENQUEUE, id="a"), rule(BY_HAND, id="b", follow=True)
    async with scene(store, terms(second, first)) as one:
        await one.one(firing())
        one.intake.terms = terms(replace(first, follow=True), second)
        await one.one(firing())
        assert [(each.rule, each.queue) for each in await one.items()] == [("b", "by-hand"), ("a", "sync")]


async def test_two_rulebooks_at_once(store: Store) -> None:
    """While replicas have different configurations each asks in turn, and what both lead to is there once."""
    async with scene(store) as one, scene(store, terms(rule(ENQUEUE, BY_HAND), rule(id="x"))) as other:
        for _ in range(3):
            await one.one(firing())
            await other.one(firing())
        assert [(each.rule, each.queue) for each in await one.items()] == [("rule-1", "sync"), ("rule-1", "by-hand")]


async def test_what_was_refused_is_done_when_the_rules_allow(store: Store) -> None:
    """A service that is configured later gets its item with the next resend of the open incident."""
    async with scene(store, terms(rule(RESTART))) as one:
        alert = firing(service="shop")
        await one.one(alert)
        told = one.intake.terms
        one.intake.terms = replace(told, rulebook=replace(told.rulebook, services=frozenset({"shop"})))
        await one.one(alert)
        assert [(each.service, each.key, each.state) for each in await one.items()] == [("shop", "shop", "pending")]


async def test_a_rule_may_want_nothing(store: Store) -> None:
    """The incident is kept and accepted, and the audit says that nothing was wanted."""
    async with scene(store, terms(rule(Step("none")), rule(id="never"))) as one:
        assert counted([await one.one(firing())]) == Counter(accepted=1)
        assert await one.items() == []
        (incident,) = await one.incidents()
        (entry,) = await audit.of(store, "incident", incident.id)
        assert entry.reason == "the rule wants nothing done"


async def test_who_is_told_of_an_incident(store: Store) -> None:
    """Each entry that matches gets one item when it opens and one when it closes; resends tell nobody."""
    others = Notice("bob", "incident", "email", compiled(['user="bob"']), "auto")
    backlogs = Notice("desk", "backlog", "email", (), "auto")
    async with scene(store, terms(notices=(TOLD, others, backlogs))) as one:
        for _ in range(3):
            await one.one(firing("ada"), firing("bob"))
        for _ in range(2):
            await one.one(resolved("ada", NOON + 1))
        ada, bob = (each.id for each in await one.incidents())
        told = [each for each in await one.items() if each.queue == "notifications"]
        assert [(each.key, each.state, each.context["notify"]) for each in told] == [
            (f"chat:incident:{ada}:opened", "pending", "chat"),
            (f"chat:incident:{bob}:opened", "pending", "chat"),
            (f"bob:incident:{bob}:opened", "pending", "bob"),
            (f"chat:incident:{ada}:closed", "pending", "chat"),
        ]
        assert [each.reason for each in told][::3] == [
            "SyncFailed: waits in sync for its turn",
            "SyncFailed: its alert is resolved",
        ]
        assert {each.origin for each in told} == {"notify"}
        assert [each.state for each in await one.items() if each.queue == "sync"] == ["cancelled", "pending"]


async def test_what_never_opened_is_told_to_nobody(store: Store) -> None:
    """Neither a tombstone nor a late one that is resolved."""
    async with scene(store, terms(notices=(TOLD,))) as one:
        await one.one(resolved(ends_at=NOON + 1), firing(), resolved(ends_at=NOON + 1))
        assert await one.items() == []
        assert await one.states() == ["resolved", "resolved"]
        assert (await one.total(HELD, "late"), await one.total(HELD, "resolved")) == (0, 0)


@pytest.mark.parametrize(("mode", "state"), [("observe", "cancelled"), ("approve", "cancelled"), ("auto", "pending")])
async def test_a_notification_that_starts_a_program_needs_auto(store: Store, mode: Mode, state: str) -> None:
    """In any other mode it is only kept as what would have been done."""
    programs = Notice("program", "incident", "command", (), mode)
    async with scene(store, terms(notices=(programs,))) as one:
        await one.one(firing())
        (item,) = [each for each in await one.items() if each.queue == "notifications"]
        assert (item.state, item.hold) == (state, None if mode == "auto" else "mode")


async def test_incidents_that_follow_each_other_on_every_engine(url: str, open_store: Any) -> None:
    """Ten episodes of a hundred alerts, in batches of any size: each is closed but the last, each has its item."""
    store = await open_store(url)
    async with scene(store) as one:
        for turn in range(10):
            at = NOON + turn * MINUTE
            one.clock.pass_(MINUTE)
            over = [resolved(f"{user:02}", at - 1, at - MINUTE) for user in range(100)] if turn else []
            alerts = [*over, *(firing(f"{user:02}", at) for user in range(100))]
            cut = turn * 13 + 1
            await one.take(delivery(*alerts[:cut]), delivery(*alerts[cut:]))
        states, items = await one.states(), await one.items()
        of = {each.id: each.fingerprint for each in await one.incidents()}
        assert [of[each.incident_id or 0] for each in items] == [f"of-{each.key}" for each in items]
        assert Counter(states) == Counter(resolved=900, open=100)
        assert Counter(each.state for each in items) == Counter(cancelled=900, pending=100)
        assert len({each.incident_id for each in items}) == 1000
        assert await one.outcomes() == {"accepted": 1900}
