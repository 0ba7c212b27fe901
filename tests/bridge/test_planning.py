"""What would become of restarts: decided as the worker decides, together and in their order, and nothing is changed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new

from exporter import config
from exporter.bridge.planning import planned
from exporter.bridge.rulebook import rulebook
from exporter.circuit import Circuit, Key
from exporter.clock import SystemClock
from exporter.policy import decide
from exporter.restarting.strategy import restartable
from exporter.restarting.surroundings import Surroundings
from exporter.store import (
    backlog,
    circuits,
    client_services,
    replicas,
    service_leases,
    service_restarts,
    service_states,
)
from exporter.store.backlog_leases import Holder
from exporter.store.client_services import FileService
from exporter.store.service_restarts import ServiceRestart
from exporter.store.service_states import Stretch
from exporter.worker import restart_outlook
from exporter.worker.restart_books import RestartBooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.bridge.plans import PlannedStep
    from exporter.store.store import Store

RESTART = {"kind": "command", "argv": ["/bin/true"], "before": ["/bin/echo", "ready"]}
SERVICES: dict[str, Any] = {
    "db": {},
    "web": {"depends_on": ["db"], "group": "front"},
    "shop": {"depends_on": ["web"], "group": "front"},
    "mail": {},
}
RULES = [
    {"name": "down", "matchers": ['alertname="Down"'], "action": "restart", "service": "{target}"},
    {"name": "ask", "matchers": ['alertname="Ask"'], "mode": "approve", "action": "restart", "service": "{target}"},
    {"name": "see", "matchers": ['alertname="See"'], "mode": "observe", "action": "restart", "service": "{target}"},
]


def configured(**more: Any) -> Any:
    services = {
        name: {"restart": RESTART, "probe": {"kind": "tcp", "address": "127.0.0.1:1"}} | options
        for name, options in SERVICES.items()
    }
    services["bare"] = {"probe": {"kind": "tcp", "address": "127.0.0.1:1"}}
    return config.parse(json.dumps({"mode": "auto", "services": services, "rules": RULES} | more), name="test.yml")


def body(*alerts: tuple[str, str]) -> bytes:
    """Return a payload of firing alerts, each a name and its target."""
    told = [
        {
            "status": "firing",
            "labels": {"alertname": name, "target": target},
            "startsAt": "2026-03-01T12:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{place}{name}{target}".lower(),
        }
        for place, (name, target) in enumerate(alerts)
    ]
    return json.dumps({"version": "4", "receiver": "r", "groupKey": "g", "alerts": told}).encode()


async def steps(store: Store | None, *alerts: tuple[str, str], **more: Any) -> list[PlannedStep]:
    """Return the steps that a payload leads to."""
    windows = more.pop("windows", None)
    found = await planned(store, configured(**more), body(*alerts), time.time(), windows)
    return [step for alert in found for step in alert.steps]


async def opened(store: Store, key: Key, *, ago: float, trial: int | None = None) -> None:
    """Store a circuit that lets a trial through since so many seconds (negative: in so many)."""
    async with store.writing() as connection:
        now = await service_leases.locked(connection, store)
        await circuits.put(connection, {key: Circuit(3, 1, now - 400, now - ago, trial)})


async def began(store: Store, service: str) -> None:
    """Store a restart that has just begun."""
    one = ServiceRestart(service, None, 1, 1, "r1", "command", "rule", time.time(), acted=True)
    async with store.writing() as connection:
        await service_restarts.begun(connection, [one])


async def item(store: Store, service: str, **values: Any) -> None:
    """Store an item of a rule."""
    await enqueue(store, [new(service, queue="restarts", service=service, **values)], time.time())


async def circuit(store: Store) -> None:
    await opened(store, Key("service", "web"), ago=-300)


async def group_circuit(store: Store) -> None:
    await opened(store, Key("group", "front"), ago=-300)


async def trial(store: Store) -> None:
    await item(store, "shop", state="running")
    await opened(store, Key("group", "front"), ago=60, trial=1)


async def half_open(store: Store) -> None:
    await opened(store, Key("service", "web"), ago=60)


async def stale_trial(store: Store) -> None:
    await opened(store, Key("service", "web"), ago=60, trial=77)


async def parent(store: Store) -> None:
    await item(store, "db", state="held", hold="mode", due_at=4e9)


async def busy(store: Store) -> None:
    await item(store, "web", state="running")


async def budget(store: Store) -> None:
    await began(store, "mail")


async def nothing(store: Store) -> None:
    del store


BUDGET = {"budgets": [{"scope": "all", "restarts": 1, "per": "10m"}]}
FLEET = {"fleet_breaker": {"at_least": 2, "share": 0.2}}


@pytest.mark.parametrize(
    ("before", "more", "verdict", "hold", "said"),
    [
        pytest.param(nothing, {}, "run", None, "nothing is in the way: it is restarted", id="nothing"),
        pytest.param(circuit, {}, "held", "circuit", "held: the circuit of web is open after 3 failures", id="circuit"),
        pytest.param(group_circuit, {}, "held", "circuit", "the circuit of the group front is open", id="group"),
        pytest.param(trial, {}, "held", "circuit", "its one trial is under way (item 1)", id="trial"),
        pytest.param(half_open, {}, "run", None, "nothing is in the way", id="half-open"),
        pytest.param(stale_trial, {}, "run", None, "nothing is in the way", id="a trial that runs no more"),
        pytest.param(parent, {}, "held", "dependency", "db, which it needs, is mended first: its own", id="parent"),
        pytest.param(busy, {}, "held", "busy", "it is being restarted just now (item 1)", id="busy"),
        pytest.param(budget, BUDGET, "held", "budget", "1 restart of all services began within 600 s", id="budget"),
        pytest.param(budget, {}, "run", None, "nothing is in the way", id="no budget"),
        pytest.param(nothing, {"windows": lambda *_: "upgrade"}, "held", "window", "held: upgrade", id="window"),
    ],
)
async def test_a_restart_is_decided_by_what_the_store_knows(
    store: Store, before: Callable[..., Any], more: dict[str, Any], verdict: str, hold: str | None, said: str
) -> None:
    """With exactly what would be run, whatever the verdict; the store stays as it is."""
    await before(store)
    known = await circuits.listed(store), await backlog.counts(store)
    (step,) = await steps(store, ("Down", "web"), **more)
    assert step.restart is not None
    assert (step.verdict, step.restart.hold) == (verdict, hold)
    assert said in step.sentence
    assert step.plan is not None
    assert step.plan.sentence == "/bin/echo ready; then /bin/true"
    assert step.plan.details == {"argv": ["/bin/true"], "before": ["/bin/echo", "ready"]}
    assert step.restart.unseen == ("not probed: db (what the store saw last counts)",)
    after = await circuits.listed(store), await backlog.counts(store)
    assert (known[0][0], known[1]) == (after[0][0], after[1])


async def test_what_comes_together_has_an_order(store: Store) -> None:
    """What is needed comes first, wherever it stands; a child is looked at again when its parent is well."""
    found = await steps(store, ("Down", "shop"), ("Down", "mail"), ("Down", "db"), ("Down", "web"))
    assert [(one.service, one.restart.order, one.restart.after) for one in found if one.restart] == [
        ("shop", 3, ("db", "web")), ("mail", 4, ()), ("db", 1, ()), ("web", 2, ("db",)),
    ]  # fmt: skip
    assert {one.verdict for one in found} == {"run"}
    assert found[0].sentence == "it is restarted after db, web, unless it is well by then"


async def test_what_is_held_holds_what_needs_it(store: Store) -> None:
    await circuit(store)
    shop, web = await steps(store, ("Down", "shop"), ("Down", "web"))
    assert (shop.verdict, web.verdict) == ("held", "held")
    assert shop.sentence == "held: web, which it needs, is mended first: its own restart is held (circuit)"


async def test_one_half_open_trial_and_one_budget_are_shared(store: Store) -> None:
    """The second of a group sees the trial of the first, and what has begun counts in the budget."""
    await opened(store, Key("group", "front"), ago=60)
    services = {name: one | {"depends_on": []} for name, one in SERVICES.items()}
    given = {
        name: {"restart": RESTART, "probe": {"kind": "tcp", "address": "127.0.0.1:1"}} | services[name]
        for name in services
    }
    first, second = await steps(store, ("Down", "web"), ("Down", "shop"), services=given)
    assert (first.verdict, second.verdict) == ("run", "held")
    assert second.sentence == (
        "held: the circuit of the group front is half-open, and its one trial is under way (that of web)"
    )
    first, second = await steps(store, ("Down", "mail"), ("Down", "db"), **BUDGET)
    assert (first.verdict, second.verdict) == ("run", "held")


async def test_too_much_at_once_trips_the_fleet_breaker(store: Store) -> None:
    """What the payload itself tells of counts; a child of what fails does not."""
    found = await steps(store, ("Down", "db"), ("Down", "mail"), **FLEET)
    assert {(one.verdict, one.restart.hold if one.restart else "") for one in found} == {("held", "fleet")}
    assert {one.verdict for one in await steps(store, ("Down", "db"), ("Down", "web"), **FLEET)} == {"run"}


async def test_the_same_service_is_restarted_once(store: Store) -> None:
    first, second, third = await steps(store, ("Ask", "web"), ("Down", "web"), ("Down", "web"))
    assert [one.verdict for one in (first, second, third)] == ["wait", "run", "held"]
    assert third.sentence == "held: another restart of web comes before it; where that helps, nothing more is done"


@pytest.mark.parametrize(
    ("alert", "verdict", "said"),
    [
        (("Ask", "web"), "wait", "waits until a person releases it with `watchbridge backlog approve`; then held: the"),
        (("See", "web"), "skipped", "only observed: `mode` is observe"),
        (("Down", "wep"), "refused", "there is no service 'wep'"),
        (("Down", "bare"), "wait", "bare has no `restart` in the configuration: it waits for a person"),
    ],
)
async def test_what_the_rule_says_comes_first(store: Store, alert: tuple[str, str], verdict: str, said: str) -> None:
    await circuit(store)
    (step,) = await steps(store, alert)
    assert step.verdict == verdict
    assert said in step.sentence


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ("Down", "waits in restarts for a person: its service has no `restart`"),
        ("Ask", "waits until a person releases it, and then for one to do it: its service has no `restart`"),
        ("See", "only observed: `mode` is observe"),
    ],
)
def test_a_service_without_a_restart_waits_for_a_person(alert: str, said: str) -> None:
    """Whoever decides on the alert says so; of one that has a restart it says nothing of that."""
    book = rulebook(configured())
    (bare,) = decide({"alertname": alert, "target": "bare"}, book)
    assert said in bare.sentence
    (web,) = decide({"alertname": alert, "target": "web"}, book)
    assert "has no `restart`" not in web.sentence
    assert (web.verdict, web.queue) == (bare.verdict, bare.queue)


async def test_without_a_store_nothing_is_known() -> None:
    (step,) = await steps(None, ("Down", "web"))
    assert step.verdict == "run"


async def test_a_parent_that_was_last_seen_down_is_waited_for(store: Store) -> None:
    """As the replica saw it that watches it now; one that nobody watches is not known to be down."""
    row = FileService("default", "db", "db:1", True, None, 5000, None)  # noqa: FBT003 -- enabled
    (number,) = (await client_services.registered(store, [row])).values()
    now = time.time()
    async with store.writing() as connection:
        await service_states.opened(connection, [Stretch(number, "down", "refused", now - 60, "r1")])
        await replicas.beat(connection, "r1", now - 60, now)
    (step,) = await steps(store, ("Down", "shop"))
    assert step.sentence == "held: db, which it needs, is down: refused"
    assert [one.verdict for one in await steps(store, ("Down", "shop"), ("Down", "db"))] == ["run", "run"]
    await replicas.ended(store, "r1", now)
    assert [one.verdict for one in await steps(store, ("Down", "shop"))] == ["run"]


async def test_the_worker_knows_the_same(store: Store) -> None:
    """What is read for a plan is what the worker reads when it decides."""
    for one in (trial, parent, budget, circuit):
        await one(store)
    terms = restartable(configured(**BUDGET, **FLEET), "here")
    around = Surroundings(SystemClock(), lambda: None)
    now = time.time()
    books = RestartBooks(store, Holder("o", "r1", 30.0), terms, around)
    async with store.writing() as connection:
        theirs = (await books.begin(connection, (now, now))).situation
    ours = await restart_outlook.read(store, configured(**BUDGET, **FLEET), terms, ("db", "shop"), now)
    assert abs(ours.now - theirs.now) < 60
    ours.now = theirs.now
    assert ours == theirs
    assert ours.running
    assert ours.circuits
    assert ours.begun
    assert ours.waiting
