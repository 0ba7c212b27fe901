"""Runs are counted in totals from which the histogram is made."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.worker.durations import ACTIONS, BOUNDS, DURATION_BUCKET, DURATION_SUM, histogram, increments

LABELS = ("q", "command", "done")


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0.0, 5000.0)), max_size=30))
def test_the_histogram_is_that_of_the_runs(seconds: list[float]) -> None:
    """Each bound has as many as lasted no longer, the last one all of them; the sum is that of the seconds."""
    totals: Counter[Any] = Counter()
    for one in seconds:
        totals.update(dict(increments(LABELS, one)))
    assert totals[ACTIONS, LABELS] == len(seconds)
    buckets = {labels: value for (family, labels), value in totals.items() if family == DURATION_BUCKET}
    sums = {labels: value for (family, labels), value in totals.items() if family == DURATION_SUM}
    found = histogram(buckets, sums)
    if not seconds:
        assert found == {}
        return
    for bound in BOUNDS:
        assert found[*LABELS, repr(bound)] == sum(one <= bound for one in seconds)
    assert found[*LABELS, "+Inf"] == found[*LABELS, "count"] == len(seconds)
    assert abs(found[*LABELS, "sum"] - sum(seconds)) < 1e-6


def test_a_run_that_nobody_saw_end_took_no_time_that_we_know() -> None:
    assert dict(increments(LABELS, None)) == {(ACTIONS, LABELS): 1.0}
