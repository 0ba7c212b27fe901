"""What the code declares, and what an expression asks for."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

import promql_parser
import yaml
from shipped.tools import ROOT

import exporter.kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARDS = sorted((ROOT / "grafana").glob("*.json"))
RULES = sorted(path for path in (ROOT / "rules").glob("*.yml") if not path.stem.endswith("_test"))
FROM_PROMETHEUS = {"up"}


def families() -> dict[str, Any]:
    """Return every metric family that the code declares in a FAMILIES, by name."""
    words = exporter.kinds.built_in("collectors")
    modules = ["exporter.scrape", *(f"exporter.collectors.{word}" for word in sorted(words))]
    declared = (getattr(importlib.import_module(name), "FAMILIES", ()) for name in modules)
    return {family.name: family for families in declared for family in families}


def exposed() -> dict[str, Any]:
    """Return every family by each name under which its series are exposed: a histogram has three."""
    found: dict[str, Any] = {}
    for family in families().values():
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        found |= {f"{family.name}{suffix}": family for suffix in suffixes}
    return found


def recorded() -> set[str]:
    """Return the names of all recording rules."""
    return {rule["record"] for path in RULES for rule in rules(path) if "record" in rule}


def rules(path: Any) -> list[dict[str, Any]]:
    """Return all rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text("utf-8"))["groups"] for rule in group["rules"]]


def panels(path: Any) -> list[dict[str, Any]]:
    """Return the panels of a dashboard that show data."""
    return [panel for panel in json.loads(path.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def parsed(expression: str) -> Any:
    """Parse an expression; Grafana's interval variable stands for a duration."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def selectors(node: Any) -> Iterator[Any]:
    """Yield every vector selector in a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    else:
        for name in ("expr", "lhs", "rhs"):
            if (child := getattr(node, name, None)) is not None:
                yield from selectors(child)
        for child in getattr(node, "args", None) or ():
            yield from selectors(child)


def metrics(expression: str) -> set[str]:
    """Return the metrics that an expression reads."""
    return {selector.name for selector in selectors(parsed(expression))}


def variable_metrics(path: Any) -> set[str]:
    """Return the metrics that the variables of a dashboard read."""
    variables = json.loads(path.read_text("utf-8"))["templating"]["list"]
    queries = [variable["query"]["query"] for variable in variables if variable["type"] == "query"]
    return {match[1] for query in queries if (match := re.match(r"label_values\((\w+)", query))}
