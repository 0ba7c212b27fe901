"""Texts of alerts become ones that every store, terminal and reader can take; what they said stays recognisable."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Final
from unicodedata import combining, is_normalized, normalize

_REPLACED: Final = "\ufffd"
_CONTROLS: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
# Bidirectional controls (Unicode 16, table 23-3) reorder what a reader sees; U+2028 and U+2029 end lines in logs.
_STEERING: Final = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
_UNWANTED: Final = re.compile(f"[{_CONTROLS}{_STEERING}\t\n]")
_UNWANTED_IN_LINES: Final = re.compile(f"[{_CONTROLS}{_STEERING}]")
# Unicode's Stream-Safe Text Format: no writing needs more marks on one character, and ordering them is quadratic.
_MOST_MARKS: Final = 30
# Canonical composition joins at most four code points into one.
_CUT: Final = 4


def label(text: str) -> str:
    """Return the name or the value of a label in NFC; what no terminal can show becomes U+FFFD.

    That is: lone surrogates, NUL and all other controls, bidirectional controls, line separators and the byte order
    mark; in a text that is not NFC yet also the marks beyond 30 on one character. Case stays. Doing it twice changes
    nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    return _normalised(text if text.isprintable() else _UNWANTED.sub(_REPLACED, text))


def lines(text: str) -> str:
    """Return a text that may have line feeds and tabs, otherwise as `label` does."""
    printable = text.replace("\n", " ").replace("\t", " ").isprintable()
    return _normalised(text if printable else _UNWANTED_IN_LINES.sub(_REPLACED, text))


def cut(text: str, limit: int) -> str:
    """Return a text as `lines` does, of at most so many characters; what is cut ends in an ellipsis."""
    value = lines(text[: _CUT * limit])
    if len(text) > _CUT * limit or len(value) > limit:
        return value[: limit - 1] + "…"
    return value


def longer(text: str, limit: int) -> bool:
    """Return whether a text is certain to be longer than so many characters once it is normalised."""
    return len(text) > _CUT * limit


def _normalised(text: str) -> str:
    # Asking is linear in any text; making is quadratic in marks out of their order.
    if text.isascii() or is_normalized("NFC", text):
        return text
    # Once more after it: some marks are canonically two.
    return _with_few_marks(normalize("NFC", _with_few_marks(text)))


def _with_few_marks(text: str) -> str:
    return _many_marks().sub(r"\1" + _REPLACED, text)


@cache
def _many_marks() -> re.Pattern[str]:
    # Found on first use, since only texts outside of ASCII need it: all marks lie below this (Unicode 16).
    marks = [code for code in range(0x300, 0x20000) if combining(chr(code))]
    first = [code for before, code in pairwise([0, *marks]) if code != before + 1]
    last = [code for code, after in pairwise([*marks, 0]) if after != code + 1]
    kinds = "".join(f"{chr(one)}-{chr(other)}" for one, other in zip(first, last, strict=True))
    return re.compile(f"([{kinds}]{{{_MOST_MARKS}}})[{kinds}]+")
