"""The alert rules: correct, explained, tested by promtool in every respect."""

from __future__ import annotations

import re

import pytest
import yaml
from shipped import declared
from shipped.tools import ROOT, program, run

ALERTS = [
    pytest.param(rule, id=f"{rule['alert']}-{rule['labels']['severity']}")
    for path in declared.RULES
    for rule in declared.rules(path)
    if "alert" in rule
]
WATCHDOG = "WatchbridgeWatchdog"


@pytest.fixture(scope="module")
def promtool():
    return program("promtool", "prometheus")


@pytest.mark.parametrize("path", declared.RULES, ids=lambda path: path.name)
def test_promtool_finds_nothing_to_say(promtool, path):
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", path)


@pytest.mark.parametrize("path", declared.RULES, ids=lambda path: path.name)
def test_the_rules_do_what_their_test_file_says(promtool, path):
    run(promtool, "test", "rules", path.with_name(f"{path.stem}_test.yml"))


@pytest.mark.parametrize("path", declared.RULES, ids=lambda path: path.name)
def test_a_changed_threshold_or_wait_is_noticed(promtool, path, tmp_path):
    """The promtool tests hold every `for` and the severities: with any one changed they fail."""
    text = path.read_text("utf-8")
    tests = path.with_name(f"{path.stem}_test.yml")
    (tmp_path / tests.name).write_text(tests.read_text("utf-8"), "utf-8")
    waits = list(re.finditer(r"for: (\d+)m\n", text))
    assert waits
    for wait in waits:
        for minutes in (int(wait[1]) - 1, int(wait[1]) + 1):
            mutant = f"{text[: wait.start()]}for: {minutes}m\n{text[wait.end() :]}"
            (tmp_path / path.name).write_text(mutant, "utf-8")
            done = run(promtool, "test", "rules", tmp_path / tests.name, check=False)
            assert done.returncode != 0, f"for: {minutes}m instead of {wait[1]}m went unnoticed"


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_is_named_graded_and_explained(rule):
    """CamelCase with our first part, a known severity, a static sentence, a description with the particulars."""
    assert re.fullmatch(r"Watchbridge([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"[A-Z][^{]*\.", rule["annotations"]["summary"])
    assert rule["annotations"]["description"].endswith(".")
    assert ("for" in rule) == (rule["alert"] != WATCHDOG)


@pytest.mark.parametrize("rule", ALERTS)
def test_the_runbook_has_the_entry_that_an_alert_links_to(rule):
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert page.endswith("/runbook/")
    assert anchor == f"alert-name-{rule['alert'].lower()}"
    runbook = (ROOT / "docs/runbook.md").read_text("utf-8")
    entry = re.search(rf'<a id="{anchor}"></a>\n## {rule["alert"]}\n(.*?)(?=\n<a id=|\Z)', runbook, re.DOTALL)
    assert entry, f"docs/runbook.md has no entry {anchor}"
    assert all(f"**{part}.**" in entry[1] for part in ("Meaning", "Impact", "Look", "Do"))


def test_the_runbook_has_no_entry_for_an_alert_that_is_gone():
    runbook = (ROOT / "docs/runbook.md").read_text("utf-8")
    assert set(re.findall(r"^## (\w+)$", runbook, re.MULTILINE)) == {rule.values[0]["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_is_tested_to_fire_and_to_be_quiet(rule):
    """Promtool runs what is written; this says what must be written, for each alert and severity."""
    cases = [
        case
        for path in (ROOT / "rules").glob("*_test.yml")
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == rule["alert"]
    ]
    fired = [alert["exp_labels"]["severity"] for case in cases for alert in case.get("exp_alerts", [])]
    quiet = [case for case in cases if not case.get("exp_alerts")]
    assert rule["labels"]["severity"] in fired
    assert len(quiet) >= 2 or rule["alert"] == WATCHDOG, "just below `for`, and after it was resolved or without data"
