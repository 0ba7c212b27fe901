"""Real Helm, of both majors."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from shipped.chart import CHART, write
from shipped.tools import HELM, helm, run


@pytest.fixture(scope="session", params=sorted(HELM), ids=lambda major: f"helm{major}")
def program(request):
    return helm(request.param)


@pytest.fixture(scope="session")
def template(program, tmp_path_factory):
    """Return a function that renders the chart with values given as text, and gives its objects by kind and name."""

    def render(values: str | Path, *flags: str):
        source = values if isinstance(values, Path) else write(tmp_path_factory.mktemp("values"), values)
        done = run(program, "template", "wb", CHART, "--namespace", "ns", "--values", source, *flags)
        objects = [thing for thing in yaml.safe_load_all(done.stdout) if thing]
        return {(thing["kind"], thing["metadata"]["name"]): thing for thing in objects}

    return render
