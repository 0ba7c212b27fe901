"""What docs/migrating.md says of config.ini is what is read of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.process_monitor import keys

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## The process monitor\n")[2].partition("\n## ")[0]
TABLE = SECTION.partition("### The keys of config.ini\n")[2].partition("\n### ")[0]
KEYS = [*keys.known("database"), *keys.known("monitor"), *keys.known("logging"), *keys.known("process.web")]


@pytest.mark.parametrize("key", [key for key in KEYS if key != "restart_strategy"])
def test_every_key_has_its_row(key):
    assert re.search(rf"(?m)^\| [^|]*`{key}[=`]", TABLE)


@pytest.mark.parametrize(("theirs", "ours"), keys.STRATEGIES.items())
def test_every_strategy_has_its_row(theirs, ours):
    """With the kind of restart that it becomes."""
    assert re.search(rf"(?m)^\| .*restart_strategy={theirs}`.*`kind: {ours}`", TABLE)


@pytest.mark.parametrize(("key", "number"), keys.NUMBERS.items())
def test_the_defaults_that_are_named_are_the_defaults(key, number):
    assert f"`{key}={number.default}`" in TABLE


def test_every_row_says_what_became_of_it():
    """Done, later, or not carried over."""
    rows = re.findall(
        r"(?m)^\| (?!you had|planned|trouble|---).*\|$", SECTION.partition("### When something is wrong")[0]
    )
    assert len(rows) > 60
    assert [row for row in rows if not re.search(r"\| (done|later|-) \|$", row)] == []
