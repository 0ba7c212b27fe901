"""Durations and sizes as blackbox_exporter's file has them: Go's, which are not quite our own."""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_SIZE: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:[KMGTPE]i?)?B)+")
_SIZE_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTPE]?)i?B")


def seconds_of(text: str) -> float:
    """Return what a duration such as 1.5s or 1h30m means (https://pkg.go.dev/time#ParseDuration)."""
    return sum(float(count) * _SECONDS[unit] for count, unit in _DURATION.findall(text))


def bytes_of(text: str) -> int:
    """Return what a size such as 10MB means: all units are of 1024 (https://pkg.go.dev/github.com/alecthomas/units).

    ValueError for what is no size.
    """
    if text == "0":
        return 0
    if not _SIZE.fullmatch(text):
        raise ValueError(f"body_size_limit is {text!r}: wanted a size like 512KB or 10MB")
    return int(sum(float(count) * 1024 ** " KMGTPE".index(unit or " ") for count, unit in _SIZE_PART.findall(text)))
