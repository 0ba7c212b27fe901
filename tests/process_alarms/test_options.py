"""What the configuration may say of tables of processes in alarm, and which service a process is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from process_alarms.scenes import service

from exporter.config import parse
from exporter.errors import InvalidConfigurationError
from exporter.process_alarms.options import AlarmOptions, ProcessTable, StatusTable, mistakes, services_by_process

PLANT = AlarmOptions(database="monitoring")
DATABASE = "databases: {monitoring: {url: 'mysql://u@db/monitoring'}}\n"


def test_the_defaults_are_the_process_monitors() -> None:
    """Tables, columns and pace, to the letter."""
    found = parse(DATABASE + "alarms: {plant: {database: monitoring}}", name="w.yml").alarms["plant"]
    assert found == PLANT
    assert (found.processes, found.every) == (ProcessTable(table="PROCESE", id="process_id", name="process_name"), 30.0)
    assert found.statuses == StatusTable(table="STATUS_PROCESS", id="process_id", alarm="alarma")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{database: nowhere}", "one of the databases"),
        ("{database: monitoring, every: 0s}", "every"),
        ("{database: monitoring, mode: sometimes}", "mode"),
        ("{database: monitoring, processes: {table: ''}}", "table"),
        ("{database: monitoring, processes: {table: ' '}}", "table"),
        ('{database: monitoring, processes: {table: "a\\nb"}}', "table"),
        ("{database: monitoring, statuses: {alarm: " + "x" * 64 + "}}", "alarm"),
        ("{database: monitoring, processes: {name: process_id}}", "is the column of the number"),
        ("{database: monitoring, statuses: {alarm: process_id}}", "is the column of the number"),
        ("{}", "database"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=said):
        parse(DATABASE + f"alarms: {{plant: {text}}}", name="w.yml")


def about(services: dict[str, Any], **alarms: AlarmOptions) -> Any:
    return SimpleNamespace(services=services, alarms=alarms, databases={"monitoring": None})


def test_what_is_hardly_meant_is_warned_of() -> None:
    """A schema within a name, the same tables twice, and alarms that can lead to nothing."""
    dotted = replace(PLANT, processes=ProcessTable(table="plant.PROCESE"))
    same = replace(PLANT, every=PLANT.every)
    configuration = about({"web": service()}, dotted=dotted, one=PLANT, two=same)
    assert [path for path, _ in dotted.warnings(configuration)] == [("processes", "table")]
    assert ["same tables" in sentence for _, sentence in PLANT.warnings(configuration)] == [True]
    nothing = about({"web": service(restart=None)}, one=PLANT)
    assert ["leads to anything" in sentence for _, sentence in PLANT.warnings(nothing)] == [True]
    assert list(PLANT.warnings(about({"web": service()}, one=PLANT))) == []


def test_a_process_is_the_service_that_says_so() -> None:
    """By `alarm`, else by its own name, to the letter; one without a restart is none."""
    services = {
        "web": service(alarm="apache2"),
        "db": service(),
        "Db": service(),
        "probed": service(restart=None),
        "other": service(alarm="probed"),
    }
    assert services_by_process(services) == {"apache2": "web", "db": "db", "Db": "Db", "probed": "other"}


def test_two_services_of_one_process_are_a_mistake() -> None:
    """The one that says so by `alarm` has it; the other is told of."""
    services = {"apache2": service(), "web": service(alarm="apache2"), "www": service(alarm="apache2")}
    assert services_by_process(services) == {"apache2": "web"}
    found = list(mistakes(about(services, plant=PLANT)))
    assert [path for path, _ in found] == [("services", "apache2"), ("services", "www", "alarm")]
    assert all("'web'" in sentence for _, sentence in found)
    assert list(mistakes(about(services))) == []
