"""Rules, dashboards and chart speak only of metrics that the code declares."""

from __future__ import annotations

import pytest
from shipped import declared
from shipped.tools import ROOT

SHIPPED_RULES = [*declared.RULES, *sorted((ROOT / "helm/watchbridge/files/rules").glob("*.yml"))]


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        ("sum without (status) (a) > b", {"a", "b"}),
        ("time() - (a and b > 0) > 5 * clamp_min(c, 1)", {"a", "b", "c"}),
        ("absent(a) or increase(b[5m]) > 0", {"a", "b"}),
        ("max_over_time(a[1h:5m])", {"a"}),
        ("-a unless on (x) (b offset 5m)", {"a", "b"}),
    ],
)
def test_the_metrics_of_an_expression_are_all_found(expression, read):
    """The finder, on which the tests below rely, sees into every kind of expression."""
    assert declared.metrics(expression) == read


@pytest.mark.parametrize("path", SHIPPED_RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_metric_of_a_rule_is_declared(path):
    """A rule over a metric that nobody exposes would never fire."""
    rules = declared.rules(path)
    known = set(declared.exposed()) | declared.FROM_PROMETHEUS
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert set().union(*(declared.metrics(rule["expr"]) for rule in rules)) - known - recorded == set()


@pytest.mark.parametrize("path", declared.DASHBOARDS, ids=lambda path: path.name)
def test_every_metric_of_a_dashboard_is_declared(path):
    """A panel or a variable over a metric that nobody exposes would stay empty."""
    read = [declared.metrics(target["expr"]) for panel in declared.panels(path) for target in panel["targets"]]
    known = set(declared.exposed()) | declared.recorded()
    assert set().union(*read, declared.variable_metrics(path)) - known == set()


@pytest.mark.parametrize("path", [*declared.RULES, *declared.DASHBOARDS], ids=lambda path: path.name)
def test_every_label_of_an_expression_is_one_that_the_metric_has(path):
    """A misspelt label selects nothing, and nothing complains."""
    exposed = declared.exposed()
    if path.suffix == ".yml":
        expressions = [rule["expr"] for rule in declared.rules(path)]
    else:
        expressions = [target["expr"] for panel in declared.panels(path) for target in panel["targets"]]
    for expression in expressions:
        for selector in declared.selectors(declared.parsed(expression)):
            labels = {matcher.name for matcher in selector.matchers.matchers} - {"job", "instance"}
            if selector.name in exposed:
                assert labels <= set(exposed[selector.name].labels), expression


def test_the_dashboards_show_every_family_that_the_code_declares():
    """A metric that no dashboard shows is named here with its reason."""
    unused = {"watchbridge_config_last_reload_success_timestamp_seconds"}  # the state of the reload is shown instead
    exposed = declared.exposed()
    shown = set()
    for path in declared.DASHBOARDS:
        for panel in declared.panels(path):
            read = set().union(*(declared.metrics(target["expr"]) for target in panel["targets"]))
            shown |= {exposed[name].name for name in read if name in exposed}
    ours = {name for name in declared.families() if name.startswith("watchbridge_")}
    assert ours - shown == unused
