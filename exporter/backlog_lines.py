"""The backlog as files of JSON Lines: one object a line, `{"user_id": 42, "reason": …, "timestamp": "…Z"}`.

Reading is lenient in the names of the keys and in the form of times, and strict in everything else: what cannot be
read is told with the number of its line, and the rest is taken. Pure: files are opened elsewhere.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KEY_LENGTH: Final = 255
REASON_LENGTH: Final = 500
LINE_BYTES: Final = 65_536
"""Bytes of a line; what is longer is refused, not read."""

PENDING_FILE: Final = "pending_users.jsonl"
PROCESSED_FILE: Final = "processed_users.jsonl"

KEYS: Final = ("user_id", "key", "id", "user")
"""What names the key of an item: the first that is there."""
ADDED: Final = ("added_at", "created_at", "queued_at")
PROCESSED: Final = ("processed_at",)
EITHER: Final = ("timestamp",)
"""A time that means when it was added, or in a file of processed items when it was processed."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_EPOCH: Final = re.compile(r"[0-9]{1,17}(\.[0-9]{1,9})?", re.ASCII)
_FRACTION: Final = re.compile(r"(\.[0-9]{6})[0-9]+")
_MILLISECONDS: Final = 1e11
"""Seconds since 1970 that lie in the year 5138: a larger number is one of milliseconds."""
_LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999."""


class LineError(ValueError):
    """A line, a key or a reason that cannot be taken; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a file: times in seconds since 1970, None where the line says none."""

    key: str
    reason: str = ""
    added_at: float | None = None
    processed_at: float | None = None
    processed: bool = False


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be taken: its number from 1, and why."""

    number: int
    sentence: str


def read(lines: Iterable[bytes], *, processed: bool = False) -> Iterator[tuple[int, Line] | BadLine]:
    """Yield the items of a file with the numbers of their lines, or what is wrong with a line.

    With `processed` all are items that were processed; else those are that have `processed_at`. Blank lines are
    skipped, and a byte order mark at the start.
    """
    for number, raw in enumerate(lines, 1):
        try:
            line = _line(raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw, processed=processed)
            if line is not None:
                yield number, line
        except LineError as error:
            yield BadLine(number, str(error))


def _line(raw: bytes, *, processed: bool) -> Line | None:
    if not raw.strip():
        return None
    if len(raw) > LINE_BYTES:
        raise LineError(f"is longer than {LINE_BYTES // 1024} KiB: an item is one short JSON object")
    entry = _object(raw)
    found = next((entry[name] for name in KEYS if entry.get(name) is not None), None)
    if found is None:
        raise LineError(f"names no item: wanted one of the keys {', '.join(KEYS)}")
    done = processed or any(entry.get(name) is not None for name in PROCESSED)
    return Line(
        key=_key(found),
        reason=_reason(entry.get("reason")),
        added_at=_first(entry, ADDED if done else (*ADDED, *EITHER)),
        processed_at=_first(entry, (*PROCESSED, *EITHER)) if done else None,
        processed=done,
    )


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        entry = json.loads(raw.decode("utf-8"), parse_int=_whole)
    except UnicodeDecodeError:
        raise LineError("is not UTF-8") from None
    except RecursionError:
        raise LineError("is nested too deep: an item is one flat JSON object") from None
    except ValueError as error:
        at = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise LineError(f"is no JSON{at}: wanted one object a line") from None
    if not isinstance(entry, dict):
        raise LineError("is no JSON object: wanted for example " + written("42", "why", 0.0))
    return entry


def _whole(digits: str) -> int | str:
    """Return a whole number, or its digits where they are more than any id has: reading those would take long."""
    return int(digits) if len(digits) <= 19 else digits  # noqa: PLR2004 - the digits of 64 bits


def _key(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise LineError("has a key that is neither a whole number nor a text")
    return key_of(str(value))


def key_of(text: str) -> str:
    """Return a key as it is stored: NFC, without space around it; LineError says why it can be none."""
    key = unicodedata.normalize("NFC", text).strip()
    if not key:
        raise LineError("the key is empty: say what the item is about")
    if len(key) > KEY_LENGTH:
        raise LineError(f"the key has {len(key)} characters: at most {KEY_LENGTH} are kept")
    if not key.isprintable():
        raise LineError("the key holds line breaks or characters that cannot be shown: give it on one line")
    return key


def reason_of(text: str) -> str:
    """Return a reason as it is stored: on one line, nothing in it that cannot be shown; LineError when too long."""
    reason = _told(text)
    if len(reason) > REASON_LENGTH:
        raise LineError(f"the reason has {len(reason)} characters: at most {REASON_LENGTH} are kept")
    return reason


def _reason(value: Any) -> str:
    if value is None:
        return ""
    reason = _told(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return reason if len(reason) <= REASON_LENGTH else reason[: REASON_LENGTH - 1] + "…"


def _told(text: str) -> str:
    words = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(char if char.isprintable() else "\ufffd" for char in words)


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> float | None:
    return next((_time(name, entry[name]) for name in names if entry.get(name) not in (None, "")), None)


def _time(name: str, value: Any) -> float:
    """Return seconds since 1970 from ISO 8601 (UTC where it says no zone), or from a number of (milli)seconds."""
    moment = math.nan
    if isinstance(value, str) and not _EPOCH.fullmatch(value.strip()):
        try:
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", value.strip()))
            moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    elif isinstance(value, int | float | str) and not isinstance(value, bool):
        moment = float(value)
        moment = moment / 1000 if moment > _MILLISECONDS else moment
    if not 0 <= moment <= _LATEST:
        raise LineError(f"has a {name} that is no time since 1970: wanted for example 2026-03-01T04:00:00Z")
    return moment


def written(key: str, reason: str, moment: float) -> str:
    """Return an item as a line without its end; a key that is a whole number is written as one."""
    number: int | str = int(key) if _NUMBER.fullmatch(key) else key
    return json.dumps({"user_id": number, "reason": reason, "timestamp": told(moment)}, ensure_ascii=False)


def told(moment: float) -> str:
    """Return a time as the files have it: ISO 8601 in UTC, whole seconds."""
    return datetime.fromtimestamp(math.floor(min(max(moment, 0.0), _LATEST)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
