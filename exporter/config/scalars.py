"""What a plain word of YAML is: true, false, a decimal number or a text, and else a trap with its mend.

YAML 1.1 (https://yaml.org/type/) makes false of `no`, 15 of `017` and 45045 of `12:30:45`; YAML 1.2 does not. Where
the two differ, the writer is asked instead of guessed at.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

EMPTY: Final = "left empty: remove the key or give a value"

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}\Z", re.ASCII)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
_NUMERIC: Final = frozenset("0123456789+-.")
"""Each number, date and time begins with one of these."""
_DECIMALS: Final = "write a plain decimal number, or "
_TRAPS: Final = tuple(
    (re.compile(rf"(?:{shape})\Z", re.ASCII | re.DOTALL), meant, mend)
    for shape, meant, mend in (
        (r"[-+]?0o?[0-7_]+", "an octal number", "write it without the zero, or "),
        (r"[-+]?0(x[0-9a-fA-F_]+|b[01_]+)", "a number", _DECIMALS),
        (r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", "a number to the base 60", ""),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?", "a date", ""),
        (r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "a number that is not finite", ""),
        (r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", "a number", _DECIMALS),
    )
)


@dataclass(frozen=True, slots=True)
class Trap:
    """A value that is not one: `sentence` says what was found and how to mend it, or is empty when that is told.

    It is no JSON type, so that every schema refuses it, and who tells it knows whether its text is a secret.
    """

    sentence: str
    text: str = ""


def plain(text: str) -> str | int | float | bool | Trap:
    """Return what a plain, unquoted scalar means."""
    if text in _NULLS:
        return Trap(EMPTY)
    if text[0] not in _NUMERIC:
        return _word(text)
    if _INTEGER.match(text):
        return int(text)
    if _DECIMAL.match(text) and math.isfinite(number := float(text)):
        return number
    for shape, meant, mend in _TRAPS:
        if shape.match(text):
            return Trap(f"found {text}, which some YAML readers take for {meant}: {mend}quote it as '{text}'", text)
    return text


def _word(text: str) -> str | bool | Trap:
    meant = _BOOLEANS.get(text.lower())
    if meant is None or text not in {text.lower(), text.upper(), text.capitalize()}:
        return text
    if text == meant:
        return text == "true"
    sentence = f"found {text}, which some YAML readers take for {meant}: write {meant}, or quote it as '{text}'"
    return Trap(sentence, text)
