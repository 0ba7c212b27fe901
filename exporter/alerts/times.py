"""Times as Go prints them: RFC 3339 with a zone, to the nanosecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

FUTURE: Final = 86_400.0
"""Seconds that a sender's clock may be ahead of ours."""

_LONGEST: Final = 64
# datetime takes six digits of a second; more are cut, as less than a microsecond is no difference here.
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)


class TimeError(ValueError):
    """A time that cannot be taken; the message says why, in words that follow the field's name."""


def seconds(text: object, now: float) -> float | None:
    """Return the seconds since 1970, None for a time that is absent: null, the empty text and Go's zero time.

    TimeError when it is no text, not RFC 3339, without a zone, before 1970, or more than a day after `now`.
    """
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise TimeError("is no text")
    when = _read(text)
    if when == _ZERO:
        return None
    since = (when - _EPOCH).total_seconds()
    if since < 0:
        raise TimeError("lies before 1970")
    if since > now + FUTURE:
        raise TimeError("lies more than a day ahead")
    return since


def _read(text: str) -> datetime:
    found = _RFC3339.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise TimeError("is not of the form 2026-01-31T12:00:00Z, with a zone")
    day, time, fraction, offset = found.groups()
    try:
        return datetime.fromisoformat(f"{day}T{time}.{(fraction or '0').ljust(6, '0')}{offset or '+00:00'}")
    except ValueError:
        raise TimeError("is no time of the calendar") from None
