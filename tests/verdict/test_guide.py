"""The guide for authors of services says what the verdict does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.verdict import of_body
from exporter.verdict.bodies import LARGEST
from exporter.verdict.words import TABLE

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "health-bodies.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```\n\nThis is (\w+)\.", GUIDE, re.DOTALL)


def test_the_table_of_words_is_the_one_that_is_used() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", GUIDE, re.MULTILINE)
    assert rows == [(word.text, word.state, word.writer) for word in TABLE]


def test_every_example_says_what_it_is() -> None:
    assert len(EXAMPLES) == GUIDE.count("```json\n") > 0


@pytest.mark.parametrize(("body", "state"), EXAMPLES, ids=[body[:40] for body, _ in EXAMPLES])
def test_an_example_is_judged_as_the_guide_says(body: str, state: str) -> None:
    verdict = of_body(body.encode(), "application/json")
    assert verdict is not None
    assert verdict.state == state


def test_the_limit_of_size_is_the_one_that_is_used() -> None:
    assert f"larger than {LARGEST // 1024} KiB" in GUIDE
