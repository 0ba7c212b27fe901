"""What the configuration says of restarts: its defaults, what is a mistake, and what is hardly meant."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from exporter import config
from exporter.errors import InvalidConfigurationError
from exporter.restarting.options import CircuitOptions, GroupOptions, RestartTiming, on_host

PROBE: Final = {"kind": "tcp", "address": "127.0.0.1:1"}
COMMAND: Final = {"kind": "command", "argv": ["/bin/true"]}
ROLLOUT: Final = {"kind": "kubernetes", "resource": "deployment/web", "namespace": "shop"}
SHARED: Final = {"store": {"url": "postgresql://me@db.example/watch"}}


def parsed(web: dict[str, Any], **sections: Any) -> config.Configuration:
    """Return a configuration with the service `web`; JSON is YAML."""
    return config.parse(json.dumps({"services": {"web": web}} | sections), name="c.yml", environ={})


def mistakes(web: dict[str, Any], **sections: Any) -> list[str]:
    """Return what is told of it, without the place in the file."""
    try:
        parsed(web, **sections)
    except InvalidConfigurationError as error:
        return [one.split(": ", 1)[1] for one in error.problems]
    return []


def warnings(web: dict[str, Any], **sections: Any) -> list[str]:
    return [one.split(": ", 1)[1] for one in parsed(web, **sections).warnings]


def test_the_defaults_are_those_of_the_process_monitor() -> None:
    """Two seconds, two attempts, five seconds, half a minute (S3)."""
    timing = parsed({"probe": PROBE, "restart": COMMAND}).services["web"].restart.beside
    assert timing == RestartTiming()
    assert (timing.check, timing.before, timing.verify) == (True, (), None)
    assert (timing.timeout, timing.delay, timing.attempts, timing.rest) == (60.0, 2.0, 2, 30.0)
    assert (timing.verify_timeout, timing.before_timeout) == (5.0, 30.0)


CIRCUITS = [
    pytest.param({}, "low", (2, 300.0), id="low"),
    pytest.param({}, "normal", (3, 300.0), id="normal"),
    pytest.param({}, "high", (5, 300.0), id="high"),
    pytest.param({"preset": "process"}, "high", (3, 300.0), id="the process monitor's"),
    pytest.param({"preset": "message"}, "low", (5, 300.0), id="the message monitor's"),
    pytest.param({"failures": 7}, "low", (7, 300.0), id="failures"),
    pytest.param({"reset": 60.0}, "high", (5, 60.0), id="reset"),
    pytest.param({"preset": "message", "failures": 1, "reset": 1.0}, "low", (1, 1.0), id="all"),
]


@pytest.mark.parametrize(("keys", "criticality", "limits"), CIRCUITS)
def test_when_a_circuit_opens(keys: dict[str, Any], criticality: str, limits: tuple[int, float]) -> None:
    """By what a service says, else by its criticality (S3.26): what matters more is tried more often."""
    assert CircuitOptions(**keys).limits(criticality) == limits


def test_the_circuit_of_a_group_is_the_message_monitors_unless_it_says_otherwise() -> None:
    assert GroupOptions().circuit.limits("normal") == (5, 300.0)
    web = {"probe": PROBE, "group": "front"}
    found = parsed(web, groups={"front": {"circuit": {"failures": 9, "reset": "10s"}}}).groups["front"]
    assert found.circuit.limits("normal") == (9, 10.0)


def test_a_restart_that_nobody_can_judge_is_a_mistake() -> None:
    """A probe, one that verifies, or a kind that sees it by itself."""
    [told] = mistakes({"restart": COMMAND})
    assert told == (
        "services.web.restart: nobody can say whether a restart of the kind command helped: give `verify`, or a `probe`"
    )
    assert mistakes({"restart": COMMAND, "probe": PROBE}) == []
    assert mistakes({"restart": {**COMMAND, "verify": PROBE}}) == []
    assert mistakes({"restart": {"kind": "systemd", "unit": "web.service"}}) == []


def test_what_is_neither_probed_nor_restarted_is_no_service() -> None:
    [told] = mistakes({"group": "front"})
    assert told == "services.web: has neither `probe` nor `restart`: give one of them"


@pytest.mark.parametrize("word", ["before", "argv"])
def test_a_program_that_is_not_here_is_warned_of(word: str) -> None:
    """It may be on the service's own node alone, and what is missing must not keep the operator from all else."""
    [told] = parsed({"probe": PROBE, "restart": {**COMMAND, word: ["no-such-program"]}}).warnings
    assert f"services.web.restart.{word}[0]: there is no program 'no-such-program' in " in told
    [told] = mistakes({"probe": PROBE, "restart": {**COMMAND, word: ["./here"]}})
    assert told.startswith(f"services.web.restart.{word}[0]: './here' is a relative path")


def test_a_program_before_it_is_given_no_nul_character() -> None:
    [told] = mistakes({"probe": PROBE, "restart": {**COMMAND, "before": ["/bin/true", "a\0b"]}})
    assert told.startswith("services.web.restart.before[1]: holds a NUL character")


def test_a_program_before_it_is_found_once() -> None:
    """What is put into PATH's folders later is not run instead."""
    web = {"probe": PROBE, "restart": {**COMMAND, "before": ["true", "-x"]}}
    program, argument = parsed(web).services["web"].restart.beside.before
    assert program in {"/usr/bin/true", "/bin/true"}
    assert argument == "-x"


HOMES = [
    pytest.param({}, {}, [], [], id="one server"),
    pytest.param({}, SHARED, [], ["services.web.restart.kind"], id="a shared store: others may come"),
    pytest.param({}, {**SHARED, "replica": "r1"}, ["services.web.restart.kind"], [], id="replicas"),
    pytest.param({"node": "web1"}, {**SHARED, "replica": "r1"}, [], [], id="replicas, and its host is said"),
    pytest.param({"restart": ROLLOUT}, {**SHARED, "replica": "r1"}, [], [], id="what acts on no host"),
]


@pytest.mark.parametrize(("web", "sections", "wrong", "warned"), HOMES)
def test_a_restart_that_acts_on_one_host_says_which(
    web: dict[str, Any], sections: dict[str, Any], wrong: list[str], warned: list[str]
) -> None:
    """Where several share the store: any of them could run it on its own."""
    entry = {"probe": PROBE, "restart": COMMAND} | web
    assert [one.split(": ")[0] for one in mistakes(entry, **sections)] == wrong
    if not wrong:
        found = [one for one in warnings(entry, **sections) if "node" in one]
        assert [one.split(": ")[0] for one in found] == warned


def test_what_has_no_effect_without_a_restart_is_told() -> None:
    [told] = warnings({"probe": PROBE, "alarm": "x"})
    assert told == "services.web.alarm: has no effect, as the service has no `restart`"
    assert warnings({"probe": PROBE, "node": "x"}) == [], "it says who probes it"


def test_which_kinds_act_on_a_host() -> None:
    """One that is not installed does, for all that anybody knows."""
    services = parsed({"probe": PROBE, "restart": COMMAND}).services
    assert on_host(services["web"].restart)
    assert not on_host(parsed({"restart": ROLLOUT}).services["web"].restart)


def test_budgets_name_what_there_is() -> None:
    """Services or groups by their scope."""
    web = {"probe": PROBE, "group": "front"}
    budgets = [
        {"scope": "service", "restarts": 1, "per": "1m", "names": ["web", "front"]},
        {"scope": "group", "restarts": 1, "per": "1m", "names": ["front", "web"]},
        {"scope": "all", "restarts": 1, "per": "1m", "names": ["web"]},
        {"scope": "all", "restarts": 1, "per": "1m"},
    ]
    assert mistakes(web, budgets=budgets) == [
        "budgets[0].names[1]: there is no service 'front'",
        "budgets[1].names[1]: there is no group 'web'",
        "budgets[2].names[0]: has no meaning with the scope all: leave it out",
    ]
