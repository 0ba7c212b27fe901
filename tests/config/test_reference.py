"""The reference of the configuration lists the keys of every kind once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from exporter import kinds
from exporter.config.schema import entries

FILE = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def rows() -> list[str]:
    """Return the first column of the reference."""
    spec = importlib.util.spec_from_file_location("docs_generate", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [line.split("`")[1] for line in module.configuration().splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("word", kinds.words("probes"))
def test_the_keys_of_a_kind_are_there(rows, word):
    """Each option of each kind of probe, in the order in which it is declared."""
    names = [entry.name for entry in entries(kinds.load("probes", word).Options)]
    own = [row.removeprefix(f"services.NAME.probe (kind: {word}).") for row in rows if f"(kind: {word})." in row]
    assert [row for row in own if row in names] == names


def test_what_all_kinds_have_stands_once(rows):
    """The keys beside those of a kind are not repeated for each of them."""
    assert [row for row in rows if row.endswith((".kind", ".every", ".slow_after"))] == [
        "services.NAME.probe.kind",
        "services.NAME.probe.every",
        "services.NAME.probe.slow_after",
        "services.NAME.restart.kind",
        "services.NAME.restart.verify.kind",
        "probe_modules.NAME.kind",
        "queues.NAME.action.kind",
        "queues.NAME.verify.kind",
        "alarms.NAME.every",
        "notify[].action.kind",
    ]
    assert "probe_modules.NAME (kind: …)" in rows


def test_no_key_stands_twice(rows):
    """A reader finds one row for a key."""
    assert sorted(rows) == sorted(set(rows))
