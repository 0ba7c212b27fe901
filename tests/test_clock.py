"""The clock that was set is told from one that is only corrected."""

from __future__ import annotations

import pytest
from servers.watched import FakeClock

from exporter.clock import JUMP, Jumps


@pytest.mark.parametrize("seconds", [JUMP, -JUMP, 86_400.0, -86_400.0])
def test_a_jump_is_told_once(seconds: float) -> None:
    """Time that passes is none, whatever its length."""
    clock = FakeClock()
    jumps = Jumps(clock)
    clock.pass_(100_000.0)
    assert (jumps.is_due, jumps.taken()) == (False, 0.0)
    clock.wall += seconds
    assert jumps.is_due
    assert jumps.taken() == pytest.approx(seconds)
    assert (jumps.is_due, jumps.taken()) == (False, 0.0)


def test_small_corrections_are_none_even_together() -> None:
    """Each is forgotten by whoever asks; together they would be one."""
    clock = FakeClock()
    jumps = Jumps(clock)
    for _ in range(5):
        clock.wall += JUMP * 0.9
        assert jumps.taken() == 0.0
