"""Durations and sizes as people write them.

The grammar of durations is Prometheus' (https://prometheus.io/docs/prometheus/latest/configuration/configuration/):
whole numbers with units from the largest to the smallest, each at most once. Sizes are one whole number with a unit
of powers of 1000 (kB, MB, …) or of 1024 (KiB, MiB, …, IEC 80000-13).
"""

from __future__ import annotations

import re
from typing import Final

from exporter.config.options import Duration, Size

_MILLISECONDS: Final = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_WRITTEN_SIZES: Final = ("TiB", "GiB", "MiB", "KiB")

DURATION_PATTERN: Final = "^(?=.)" + "".join(f"([0-9]{{1,9}}{unit})?" for unit in _MILLISECONDS) + "$"
SIZE_PATTERN: Final = "^[0-9]{1,12}(" + "|".join(_BYTES) + ")$"

_DURATION = re.compile(DURATION_PATTERN.removesuffix("$") + r"\Z", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,12})(" + "|".join(_BYTES) + r")\Z", re.ASCII)


def duration(text: str) -> Duration:
    """Return the seconds that a text such as 500ms, 30s, 1h30m, 7d or 0 means; ValueError for any other."""
    if text == "0":
        return Duration(0.0)
    found = _DURATION.match(text)
    if found is None:
        raise ValueError("wanted a duration like 30s, 5m or 1h")
    parts = zip(found.groups(), _MILLISECONDS.items(), strict=True)
    return Duration(sum(int(part.removesuffix(unit)) * scale for part, (unit, scale) in parts if part) / 1000)


def written_duration(seconds: float) -> str:
    """Return the shortest text that means these seconds, to the millisecond; `duration` reads it back."""
    left = round(seconds * 1000)
    if left == 0:
        return "0s"
    text = ""
    for unit, scale in _MILLISECONDS.items():
        if unit in {"y", "w"}:  # 7d and 365d say how long without a calendar in mind
            continue
        count, left = divmod(left, scale)
        text += f"{count}{unit}" if count else ""
    return text


def size(text: str) -> Size:
    """Return the bytes that a text such as 512B, 512KiB, 5MiB or 5MB means; ValueError for any other."""
    if text == "0":
        return Size(0)
    found = _SIZE.match(text)
    if found is None:
        raise ValueError("wanted a size like 512KiB, 5MiB or 5MB")
    return Size(int(found[1]) * _BYTES[found[2]])


def written_size(count: int) -> str:
    """Return the shortest text that means exactly so many bytes; `size` reads it back."""
    for unit in _WRITTEN_SIZES:
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"
