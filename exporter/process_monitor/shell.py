"""Whether a command that the old monitor gave to a shell means the same without one."""

from __future__ import annotations

import re
import shlex
from typing import Final

_QUOTED: Final = re.compile(r"'[^']*'" + r'|"(?:[^"\\$`]|\\[^$`])*"' + r"|\\[^\n]")
"""What is literal to a shell. Between double quotes a dollar or a backtick is not, and its backslash is left alone."""
_SHELL: Final = re.compile(r"""[|<>;&$`*?~(){}\[\]\\"']|(?:^|[ \t])[#!]|^[A-Za-z_][A-Za-z0-9_]*\+?=""")
_WORDS: Final = frozenset(
    ". : alias bg break builtin case cd command continue coproc declare dirs do done elif else enable "  # noqa: SIM905 -- no line a word
    "esac eval exec exit export fg fi for function hash if let local popd pushd read readonly return "
    "select set shift shopt source then time times trap type typeset ulimit umask unalias unset until "
    "wait while".split()
)
"""First words that only a shell knows; echo, kill, printf, pwd, test, true and false are programs too."""
_LONGEST: Final = 32 * 1024
_MOST_WORDS: Final = 1000
"""What a command may hold; a longer one is better kept in a file of its own."""
_LEFT: Final = "\0"
"""Stands for what was quoted: no text holds one."""


def argv(text: str) -> tuple[str, ...] | None:
    """Return the program and its arguments; None where only a shell makes of the text what is meant."""
    if len(text) > _LONGEST or "\n" in text or _SHELL.search(_QUOTED.sub(_LEFT, text)):
        return None
    words = tuple(shlex.split(text))
    is_plain = 0 < len(words) <= _MOST_WORDS and words[0] != "" and words[0] not in _WORDS
    return words if is_plain else None
