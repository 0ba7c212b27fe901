"""What is wrong with a file, and where: gathered, sorted, bounded, and free of secrets."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.errors import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Path = tuple[str | int, ...]

LIMIT: Final = 100
"""So many mistakes are told at once: more help nobody, and a hostile file must not cost more."""

_SHOWN_CHARACTERS: Final = 60
_NEAR_CHARACTERS: Final = 80
_URL_PASSWORD: Final = re.compile(r"(?<=://).*@", re.DOTALL)


# Greedy: a password may itself hold an @, a : or a /.
_ACCOUNT: Final = re.compile(r"[^\s'\"]*:[^\s'\"]*@")
_EXAMPLES: Final = frozenset({"postgresql://user:password@", "mysql://user:password@"})


class Mistake(NamedTuple):
    """One thing to mend. Lines and columns count from 1; line 0 means the file as a whole."""

    line: int
    column: int
    sentence: str


def refuse(name: str, mistakes: Iterable[Mistake]) -> InvalidConfigurationError:
    """Return the error that tells all mistakes of the file `name`, first line first."""
    found = sorted(set(mistakes))
    told = [
        f"{name}:{m.line}:{m.column}: {masked(m.sentence)}" if m.line else f"{name}: {masked(m.sentence)}"
        for m in found[:LIMIT]
    ]
    if len(found) > LIMIT:
        told.append(f"{name}: there are more mistakes: mend these {LIMIT} first")
    return InvalidConfigurationError(tuple(told))


def masked(sentence: str) -> str:
    """Return the sentence without what stands before an @ like a user and a password, wherever it came from.

    A URL may be written where a name or a path is wanted, and the sentence about that repeats it.
    """
    return _ACCOUNT.sub(lambda found: found[0] if found[0] in _EXAMPLES else "<secret>@", sentence)


def shown(text: str) -> str:
    """Return a text as a message may hold it: quoted, on one line, short, without the password of a URL."""
    clean = _URL_PASSWORD.sub("<secret>@", text)
    clean = clean if len(clean) <= _SHOWN_CHARACTERS else clean[: _SHOWN_CHARACTERS - 1] + "…"
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean) + "'"


def dotted(path: Path) -> str:
    """Return a path as the messages write it: databases.registry.pool, listen[0].serve[1]."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            word = step if re.fullmatch(r"[\w-]{1,60}", step) else shown(step)
            text += f".{word}" if text else word
    return text


def at(path: Path, sentence: str) -> str:
    """Return the sentence with its path before it; at the top of the file there is none."""
    return f"{dotted(path)}: {sentence}" if path else sentence


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" where a known word is close, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1) if len(word) <= _NEAR_CHARACTERS else []
    return f"; did you mean '{near[0]}'?" if near else ""
