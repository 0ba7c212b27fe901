"""Text from outside becomes label values that every parser and every terminal can take."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize

LIMIT: Final = 128
"""Characters of the longest normalised value, its ellipsis included."""

EMPTY: Final = "__empty__"
"""Stands for the empty text: Prometheus takes an empty label value for an absent label."""

NULL: Final = "__null__"
"""Stands for SQL's NULL."""

# The longest canonical composition joins four code points into one, so no more than this can matter to the result.
# NFC takes quadratic time over a run of combining marks: the cut comes first.
_CUT: Final = 4 * LIMIT

_CONTROLS: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
_UNENCODABLE: Final = re.compile(f"[{_CONTROLS}]")
# Bidirectional controls (Unicode 16, table 23-3) reorder what a reader sees; U+2028 and U+2029 end lines in logs.
_UNWANTED: Final = re.compile(f"[{_CONTROLS}\t\n\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def normalised(text: str | None) -> str:
    """Return the text as a label value: NFC, no controls, at most LIMIT characters, never empty.

    Lone surrogates, C0, C1, DEL, line separators, bidirectional controls and the byte order mark become U+FFFD.
    What is cut ends in an ellipsis. Different texts may become the same value: join their samples by the family's
    `merge`. Normalising twice changes nothing.
    """
    if not text:
        return NULL if text is None else EMPTY
    if len(text) <= LIMIT and text.isascii() and text.isprintable():
        return text
    value = normalize("NFC", _UNWANTED.sub("\ufffd", text[:_CUT]))
    if len(text) > _CUT or len(value) > LIMIT:
        return value[: LIMIT - 1] + "…"
    return value


def encodable(text: str) -> str:
    """Return the text with only those characters replaced by U+FFFD that break the exposition or cannot be UTF-8.

    The last defence, for values that come from the configuration and are therefore neither cut nor merged.
    """
    return text if text.isprintable() else _UNENCODABLE.sub("\ufffd", text)
