"""The dashboards: the rules of Grafana's dashboard linter, and Grafana's own types."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from shipped import declared
from shipped.tools import FOLDER, run

NARROWING = {"source", "collector", "client", "target", "queue", "action", "circuit", "group", "process"}
CHOSEN_BY = {
    "client": {"$client"},
    "target": {"$target"},
    "queue": {"$queue", "restarts"},
    "action": {"$queue", "restarts"},
    "circuit": {"$circuit"},
    "group": {"$group"},
    "process": {"$process"},
}
"""The variable for each label: an action is named after its queue, and that of restarts has its own dashboard."""
CHOICES = {
    "watchbridge-alarms": {"source", "process"},
    "watchbridge-backlog": {"queue"},
    "watchbridge-bridge": set(),
    "watchbridge-circuits": {"circuit", "group"},
    "watchbridge-packages": {"collector", "source"},
    "watchbridge-restarts": {"kind"},
}
"""What a dashboard lets one choose beyond job and instance: a client and a service where it is not named here."""
EMPTY = {"circuit", "group"}
"""Labels that some series lack: a group's own circuit, a service without a group. "All" must mean those too."""
BOARDS = [pytest.param(json.loads(path.read_text("utf-8")), id=path.name) for path in declared.DASHBOARDS]
PANELS = [
    pytest.param(panel, id=f"{path.stem}-{panel['title']}")
    for path in declared.DASHBOARDS
    for panel in declared.panels(path)
]
GRAFANA_SCHEMA = ("@grafana/schema@11.2.0", "typescript@5.9.3")


@pytest.mark.parametrize("board", BOARDS)
def test_a_dashboard_is_ready_to_be_provisioned(board):
    """Fixed uid, our tag, a menu of its kind, read-only, a schema that Grafana 11 and 12 both load."""
    assert re.fullmatch(r"watchbridge-[a-z]+", board["uid"])
    assert board["id"] is None
    assert board["tags"] == ["watchbridge-mixin"]
    assert board["editable"] is False
    assert board["schemaVersion"] <= 42
    assert board["links"][0]["tags"] == board["tags"]
    assert board["links"][0]["asDropdown"] is True
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.parametrize("board", BOARDS)
def test_a_dashboard_lets_one_choose_data_source_job_and_instance(board):
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["label"] == "Data Source"
    assert {"job", "instance"} <= set(variables)
    assert CHOICES.get(board["uid"], {"client", "target"}) == set(variables) - {"datasource", "job", "instance"}
    for name, variable in variables.items():
        if name != "datasource":
            assert variable["type"] == "query"
            assert variable["multi"] is True
            assert variable["allValue"] == (".*" if name in EMPTY else ".+")
            assert variable["refresh"] == 2, "on a change of the time range"
            assert variable["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("board", BOARDS)
def test_panels_do_not_overlap(board):
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_explains_itself(panel):
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert {panel["datasource"]["uid"]} | {target["datasource"]["uid"] for target in panel["targets"]} == {
        "${datasource}"
    }
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("panel", PANELS)
def test_every_query_of_a_panel_follows_the_variables(panel):
    """Each selector narrows by job and instance, and by what the metric has of the labels that variables choose."""
    exposed = declared.exposed()
    for target in panel["targets"]:
        for selector in declared.selectors(declared.parsed(target["expr"])):
            chosen = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            if selector.name.startswith("watchbridge:"):
                continue  # one series for everything: the objective
            assert chosen["job"] == "$job"
            if selector.name.startswith("target:"):
                # The rule sums the labels of the process away: a service passes from replica to replica.
                assert {"client", "target"} <= set(chosen)
                continue
            assert chosen["instance"] == "$instance"
            can = NARROWING & set(exposed[selector.name].labels)
            assert can - set(chosen) <= ({"source", "collector"} if {"source", "collector"} & set(chosen) else set())
            assert all(chosen[name] in CHOSEN_BY[name] for name in set(CHOSEN_BY) & can)


@pytest.mark.parametrize("panel", PANELS)
def test_counters_are_rates_over_the_interval_of_the_graph(panel):
    for target in panel["targets"]:
        expression = target["expr"]
        counters = len(re.findall(r"_total\b", expression))
        assert counters == len(re.findall(r"(?:rate|increase)\(\w+_total\{[^}]*\}\[\$__rate_interval\]\)", expression))


@pytest.fixture(scope="module")
def compile_dashboard():
    """Return what tsc says of a dashboard, held against the types that Grafana publishes."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed: Grafana's types are checked only where they are")
    folder = FOLDER / "grafana"
    compiler = folder / "node_modules/typescript/bin/tsc"
    if not compiler.is_file() or not (folder / "node_modules/@grafana/schema").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        flags = ["--prefix", folder, "--no-fund", "--no-audit", "--ignore-scripts", "--legacy-peer-deps"]
        # Another language's registry may be out of reach where everything else can be had.
        try:
            done = run("npm", "install", *flags, *GRAFANA_SCHEMA, check=False, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not answer: Grafana's types were not checked")
        if done.returncode != 0:
            pytest.skip(f"Grafana's types could not be installed with npm: {done.stderr.strip()[-300:]}")

    def check(text: str):
        # A string of JSON is no member of a TypeScript enum, the one place where the literal must be rewritten.
        literal = text.strip().replace('"mode": "absolute"', '"mode": ThresholdsMode.Absolute')
        source = folder / "dashboard.ts"
        source.write_text(
            'import { type Dashboard, ThresholdsMode } from "@grafana/schema";\n'
            f"void ThresholdsMode;\nexport const dashboard = {literal} satisfies Dashboard;\n",
            "utf-8",
        )
        flags = ["--noEmit", "--skipLibCheck", "--strict", "--module", "esnext", "--moduleResolution", "bundler"]
        return run("node", compiler, *flags, source, check=False)

    return check


@pytest.mark.parametrize("path", declared.DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_is_of_the_type_that_grafana_publishes(compile_dashboard, path):
    done = compile_dashboard(path.read_text("utf-8"))
    assert done.returncode == 0, done.stdout


def test_the_type_check_notices_a_misspelt_key(compile_dashboard):
    done = compile_dashboard(declared.DASHBOARDS[0].read_text("utf-8").replace('"schemaVersion"', '"schemaversion"', 1))
    assert "schemaversion" in done.stdout
