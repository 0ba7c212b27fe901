"""What may be run now, and what not and why: by the first reason that speaks against it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from exporter.model import HOLDS, MODES
from exporter.policy import stricter
from exporter.worker.gate import MODE_AGAIN, OBSERVED, UNRELEASED, WINDOW_AGAIN, Facts, Go, Held, judged

AUTO = ("auto", "auto", "auto")


def facts(**values: Any) -> Facts:
    """Return facts of an item that nothing speaks against."""
    return Facts(**{"now": 1000.0, "modes": AUTO} | values)


@pytest.mark.parametrize(
    ("values", "hold", "again"),
    [
        ({}, None, None),
        ({"modes": ()}, None, None),
        ({"incident": "open"}, None, None),
        ({"incident": "late"}, None, None),
        ({"incident": "resolved"}, "resolved", None),
        ({"incident": "silent"}, "resolved", None),
        ({"incident": "resolved", "by_hand": True, "released": True}, "resolved", None),
        ({"modes": ("auto", "observe", "auto")}, "mode", MODE_AGAIN),
        ({"modes": ("observe",), "released": True}, "mode", MODE_AGAIN),
        ({"modes": ("observe",), "by_hand": True}, None, None),
        ({"modes": ("auto", "auto", "approve")}, "mode", MODE_AGAIN),
        ({"modes": ("approve",), "released": True}, None, None),
        ({"modes": ("approve",), "by_hand": True}, None, None),
        ({"window": "until noon"}, "window", WINDOW_AGAIN),
        ({"window": "until noon", "by_hand": True, "released": True}, "window", WINDOW_AGAIN),
        ({"silence": "by ann"}, "silenced", WINDOW_AGAIN),
        ({"window": "until noon", "silence": "by ann"}, "window", WINDOW_AGAIN),
        ({"window": "until noon", "modes": ("observe",)}, "mode", MODE_AGAIN),
        ({"incident": "resolved", "modes": ("observe",), "window": "until noon"}, "resolved", None),
    ],
)
def test_the_gate(values: dict[str, Any], hold: str | None, again: float | None) -> None:
    verdict = judged(facts(**values))
    if hold is None:
        assert verdict == Go()
        return
    assert isinstance(verdict, Held)
    assert verdict.hold == hold
    assert verdict.hold in HOLDS
    assert verdict.look_again_at == (None if again is None else 1000.0 + again)
    assert verdict.sentence


def test_the_strictest_mode_holds() -> None:
    """In whatever order the three of them come."""
    for modes in itertools.product(MODES, repeat=3):
        verdict = judged(facts(modes=modes))
        expected = {"auto": None, "approve": UNRELEASED, "observe": OBSERVED}[stricter(*modes)]
        assert getattr(verdict, "sentence", None) == expected
