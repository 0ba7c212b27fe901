"""Durations and sizes: what is read is what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.words import duration, size, written_duration, written_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0s", 0), ("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("1w2d", 777600)],
)
def test_a_duration_is_read(text, seconds):
    """A duration means the seconds that Prometheus would make of it."""
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "1.5h",
        "-5s",
        "+5s",
        "5 s",
        " 5s",
        "5s\n",
        "5S",
        "30m1h",
        "1h1h",
        "s",
        "1_0s",
        "\u0665s",
        "1" * 10 + "s",
    ],
)
def test_what_is_no_duration_is_refused(text):
    """Units are needed, in order, once each, on plain digits."""
    with pytest.raises(ValueError, match="wanted a duration"):
        duration(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_written_duration_is_read_back(milliseconds):
    """Writing and reading a duration changes nothing, to the millisecond."""
    assert duration(written_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("7B", 7), ("512KiB", 524288), ("5MiB", 5242880), ("5MB", 5000000), ("1kB", 1000), ("1GiB", 2**30)],
)
def test_a_size_is_read(text, count):
    """KiB is 1024 bytes and kB 1000."""
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "5", "5M", "5mib", "1.5MiB", "-1B", "5 MiB", "5MiB\n", "MiB", "\u0665B"])
def test_what_is_no_size_is_refused(text):
    """A size is a whole number with a unit."""
    with pytest.raises(ValueError, match="wanted a size"):
        size(text)


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_a_written_size_is_read_back(count):
    """Writing and reading a size changes nothing."""
    assert size(written_size(count)) == count
