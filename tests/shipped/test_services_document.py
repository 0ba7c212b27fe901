"""What docs/services.md says of kinds, numbers and states is what the code does."""

from __future__ import annotations

import re

import pytest
from shipped.tools import ROOT

from exporter import kinds, model
from exporter.probing import kind
from exporter.services.options import ProbingOptions, ReadingsOptions, Timing
from exporter.services.service import STALE_INTERVALS
from exporter.uptime import WINDOWS

TEXT = (ROOT / "docs/services.md").read_text("utf-8")
WORDS = ("no", "one", "two", "three", "four")
DAY = 86_400


def section(title: str) -> str:
    """Return the text of a section, on one line."""
    return " ".join(TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0].split())


def test_every_kind_of_probe_has_its_row():
    rows = re.findall(r"(?m)^\| `(\w+)` \|", TEXT.partition("## Kinds of probes")[2].partition("\n## ")[0])
    assert sorted(rows) == sorted(kinds.built_in("probes"))


def test_every_state_has_its_row():
    rows = re.findall(r"(?m)^\| ([a-z, ]+) \|", TEXT.partition("## States")[2].partition("\n## ")[0])
    named = {word for row in rows for word in row.split(", ")} - {"state"}
    assert named == set(model.STATES)


def test_the_defaults_are_those_of_the_options():
    when = section("When probes run")
    timing, probing, readings = Timing(), ProbingOptions(), ReadingsOptions()
    assert f"`probing.concurrency` ({probing.concurrency})" in when
    assert f"`timeout` ({timing.patience:g}s, or `every` where that is shorter)" in when
    uptime = section("Uptime")
    assert f"for {readings.retention / DAY:g} days (`readings.retention`)" in uptime
    assert readings.states_retention == 365 * DAY
    assert "kept for a year (`readings.states_retention`)" in uptime
    assert f"{WORDS[STALE_INTERVALS]} intervals old" in section("States")
    *others, last = WINDOWS
    assert f"over {', '.join(others)} and {last}:" in uptime


@pytest.mark.parametrize("word", sorted(kinds.built_in("probes")))
def test_what_is_slow_is_said_of_the_kinds_that_can_be(word):
    judged = section("How a service is judged")
    slow_after = kind(word).SLOW_AFTER
    assert slow_after in (None, 2.0)
    assert (f"`{word}`" in judged.partition("at best degraded: two seconds for")[2].partition(";")[0]) is (
        slow_after is not None
    )
