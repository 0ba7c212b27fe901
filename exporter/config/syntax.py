"""What a YAML reader says of a text that is no YAML, as a mistake that says how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from exporter.config.mistakes import Mistake

if TYPE_CHECKING:
    import yaml

DEPTH: Final = 32
"""Levels of nesting that a file may have."""

_BAD_ESCAPE: Final = re.compile(r"\\U(?!000|0010)[0-9A-Fa-f]{8}")
_HINTS: Final = {
    "mapping values are not allowed": "a ':' where no key can stand: check the indentation, or quote the text",
    "could not find expected ':'": "a key without its ':': write `key: value`, with a space after the colon",
    "found character '\\t' that cannot start any token": "a tab: YAML is indented and separated by spaces only",
    "found character": "a text that begins with such a character must be quoted",
    "found unexpected end of stream": "the file ends inside a quoted text: close the quote",
    "expected <block end>, but found": "this does not line up with what stands above: check the indentation",
    "expected ',' or": "a list or mapping goes wrong here: a comma or bracket is missing, or quotes around '${NAME}'",
    "expected ' ', but found": "a text that begins with ! must be quoted",
    "expected alphabetic or numeric character": "a text that begins with * or & must be quoted",
    # libyaml's own words
    "exceeded maximum nesting depth": f"nested deeper than {DEPTH} levels: make it flatter",
    "did not find expected ',' or": "a list or mapping goes wrong here: a comma or bracket is missing, or quotes",
    "did not find expected key": "this does not line up with what stands above: check the indentation",
    "did not find expected '-' indicator": "this does not line up with what stands above: check the indentation",
    "did not find expected alphabetic or numeric character": "a text that begins with * or & must be quoted",
    "did not find expected whitespace or line break": "a text that begins with ! must be quoted",
    "found invalid Unicode character escape code": "this escape names no character, or half of one: write the whole "
    "character",
    "found undefined tag handle": "a tag (!name) is not supported: remove it, or quote the text",
}


def syntax(error: yaml.MarkedYAMLError) -> Mistake:
    """Return what a reader stopped at."""
    problem = error.problem or "it ends too early"
    hint = next((hint for start, hint in _HINTS.items() if problem.startswith(start)), f"not valid YAML: {problem}")
    mark = error.problem_mark or error.context_mark
    return Mistake(mark.line + 1, mark.column + 1, hint) if mark else Mistake(0, 0, hint)


def escape(text: str) -> Mistake:
    """Return the first escape in a text that names no character of Unicode."""
    found = _BAD_ESCAPE.search(text)
    line, column = _position(text, found.start()) if found else (0, 0)
    return Mistake(line, column, "this escape names no character: the last one is \\U0010FFFF")


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def unprintable(text: str, index: int) -> Mistake:
    """Return the character at an index as one that YAML does not allow."""
    line, column = _position(text, index)
    return Mistake(
        line,
        column,
        f"the character U+{ord(text[index]):04X} may not stand in YAML: remove it, or write it as an escape",
    )
