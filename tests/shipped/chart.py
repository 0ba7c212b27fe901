"""The chart, and how its tests look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from shipped.tools import ROOT

import exporter.config

if TYPE_CHECKING:
    from pathlib import Path

CHART = ROOT / "helm/watchbridge"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
CRDS = {"ServiceMonitor", "PrometheusRule"}


def write(folder: Path, values: str) -> Path:
    path = folder / "values.yaml"
    path.write_text(values, "utf-8")
    return path


def pods(objects):
    """Return the specification of every pod that the objects make."""
    return [
        thing["spec"] if kind == "Pod" else thing["spec"]["template"]["spec"]
        for (kind, _), thing in objects.items()
        if kind in {"Pod", "StatefulSet"}
    ]


def configuration(objects):
    return yaml.safe_load(objects["ConfigMap", "wb-watchbridge"]["data"]["watchbridge.yaml"])


def read(objects, files=()):
    """Return the configuration that the chart writes, read by the loader itself; `files` are those of the pod."""
    maps = [thing for (kind, _), thing in objects.items() if kind == "ConfigMap"]
    [text] = [each["data"]["watchbridge.yaml"] for each in maps if "watchbridge.yaml" in each["data"]]
    for there, here in files:
        text = text.replace(there, str(here))
    return exporter.config.parse(text, name="watchbridge.yaml", environ={"REGISTRY_URL": "sqlite:////data/registry.db"})


def case(name: str) -> Path:
    return CHART / f"ci/{name}-values.yaml"
