"""What a configuration says of restarts, made ready: who is restarted how, where, and what hangs on what."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest

from exporter import config, kinds
from exporter.budgets import Budget, Fleet, FleetBreaker
from exporter.circuit import Limits
from exporter.logs import REDACTION
from exporter.model import Plan
from exporter.restarting.strategy import Check, Restartable, restartable

PROBE: Final = {"kind": "tcp", "address": "127.0.0.1:1", "timeout": "3s"}
COMMAND: Final = {"kind": "command", "argv": ["/bin/echo", "a b"]}
SERVICES: Final[dict[str, Any]] = {
    "web": {"probe": PROBE, "restart": COMMAND, "group": "front", "depends_on": ["db"], "criticality": "high"},
    "db": {"probe": {**PROBE, "every": "1s", "timeout": None}, "group": "back"},
    "off": {"probe": PROBE, "restart": COMMAND, "enabled": False},
    "bare": {"restart": {**COMMAND, "verify": {"kind": "tcp", "address": "127.0.0.1:2"}}, "circuit": {"failures": 9}},
}


def made(services: dict[str, Any] | None = None, host: str = "here", **sections: Any) -> Restartable:
    text = json.dumps({"services": SERVICES if services is None else services} | sections)
    return restartable(config.parse(text.replace(', "timeout": null', ""), name="c.yml", environ={}), host)


def test_only_what_has_a_restart_is_restarted() -> None:
    """Everything may be needed, and everything that is probed may be looked at."""
    found = made()
    assert list(found.strategies) == ["web", "off", "bare"]
    assert found.parents == {"web": ("db",), "db": (), "off": (), "bare": ()}
    assert list(found.probes) == ["web", "db"], "one that is not enabled is not looked at"
    assert found.fleet == Fleet({"web": "front", "off": None, "bare": None}, found.parents)
    assert found.groups == {"back": Limits(5, 300.0), "front": Limits(5, 300.0)}


def test_how_one_is_restarted_and_judged() -> None:
    """By its own probe with that one's time, unless there is one that verifies; its limits are by what it says."""
    web, bare = made().strategies["web"], made().strategies["bare"]
    assert (web.kind, web.group, web.node, web.on_host, web.limits) == ("command", "front", None, True, Limits(5, 300))
    assert web.probe == web.verify
    assert (web.probe.kind, web.probe.timeout) == ("tcp", 3.0) if web.probe else False
    assert made().probes["db"].timeout == 1.0
    assert (bare.probe, bare.limits) == (None, Limits(9, 300.0))
    assert isinstance(bare.verify, Check)
    assert bare.verify.timeout == 5.0


def test_budgets_groups_and_the_breaker() -> None:
    budgets = [
        {"scope": "service", "restarts": 3, "per": "10m", "names": ["web"]},
        {"scope": "all", "restarts": 10, "per": "1h"},
    ]
    breaker = {"at_least": 2, "share": 0.25, "of": "groups", "per": "5m"}
    found = made(budgets=budgets, fleet_breaker=breaker, groups={"front": {"circuit": {"failures": 2}}})
    assert found.budgets == (Budget("service", 3, 600.0, frozenset({"web"})), Budget("all", 10, 3600.0))
    assert found.longest == 3600.0
    assert found.breaker == FleetBreaker(2, 0.25, "groups", 300.0)
    assert found.groups["front"] == Limits(2, 300.0)
    assert made().longest == 0.0


@pytest.mark.parametrize(
    ("sections", "breaker"),
    [({}, FleetBreaker(5, 0.5)), ({"fleet_breaker": {"enabled": False}}, None)],
    ids=["left out", "off"],
)
def test_the_breaker_is_on_unless_it_is_switched_off(sections: dict[str, Any], breaker: FleetBreaker | None) -> None:
    assert made(**sections).breaker == breaker


def test_whose_a_restart_is() -> None:
    """That of a service with a `node` is that host's alone; without one, and of what acts on no host, anybody's."""
    services = {
        "here": {"probe": PROBE, "restart": COMMAND, "node": "web1"},
        "there": {"probe": PROBE, "restart": COMMAND, "node": "web2"},
        "any": {"probe": PROBE, "restart": COMMAND},
        "cluster": {"restart": {"kind": "kubernetes", "resource": "deployment/a", "namespace": "n"}, "node": "web2"},
    }
    for found in (made(services, "web1"), made(services, "other", node="web1")):
        assert (found.ours, found.foreign) == ({"here", "any", "cluster"}, {"there"})


def test_the_plan_is_what_is_run() -> None:
    """With what runs before it, quoted as a person would type it."""
    one = made().strategies["web"]
    assert one.plan() == Plan("/bin/echo 'a b'", {"argv": ["/bin/echo", "a b"]})
    before = replace(one, timing=replace(one.timing, before=("/bin/test", "-e", "/a b")))
    assert before.plan() == Plan(
        "/bin/test -e '/a b'; then /bin/echo 'a b'",
        {"argv": ["/bin/echo", "a b"], "before": ["/bin/test", "-e", "/a b"]},
    )


def test_no_plan_holds_a_secret() -> None:
    REDACTION.learn(["canary-5ecret"])
    one = made().strategies["web"]
    found = replace(one, timing=replace(one.timing, before=("/bin/test", "canary-5ecret"))).plan()
    assert "canary" not in str(found)


@pytest.mark.parametrize("plan", [ValueError("canary"), None, "a text"])
def test_a_kind_that_cannot_say_what_it_would_do(monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    """Is told of in a sentence, with what runs before it or without."""

    def say(_options: Any) -> Any:
        if isinstance(plan, Exception):
            raise plan
        return plan

    theirs = SimpleNamespace(name="theirs", load=lambda: SimpleNamespace(plan=say))
    monkeypatch.setattr(kinds, "entry_points", lambda **asked: [theirs] if asked.get("name") == "theirs" else [])
    one = replace(made().strategies["web"], kind="theirs")
    found = one.plan()
    assert isinstance(found, str)
    assert "canary" not in found


def test_a_kind_that_is_not_installed_says_so() -> None:
    found = replace(made().strategies["web"], kind="theirs").plan()
    assert isinstance(found, str)
    assert "theirs" in found


def test_nor_does_a_kind_without_a_plan_break_what_runs_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would break the transaction that claims, for every item that is due, and each time again."""
    theirs = SimpleNamespace(name="theirs", load=lambda: SimpleNamespace(plan=lambda _options: None))
    monkeypatch.setattr(kinds, "entry_points", lambda **asked: [theirs] if asked.get("name") == "theirs" else [])
    one = made().strategies["web"]
    found = replace(one, kind="theirs", timing=replace(one.timing, before=("/bin/true",))).plan()
    assert isinstance(found, str)
