"""Regular expressions over what came from outside: RE2, whose time grows with the text alone, so that none can hang."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT: Final = 4096
# Bytes of one pattern's program and of the automata that searching builds; RE2's own default is 8 MiB.
_MEMORY: Final = 4 << 20
_LONGEST: Final = 10_000


class Match(Protocol):
    """Where a pattern was found, as `re.Match` tells it."""

    def group(self, *groups: int | str) -> Any:
        """Return the bytes of a group; None where it took no part."""
        ...

    def groups(self, default: Any = None) -> Sequence[Any]:
        """Return the bytes of all groups."""
        ...

    def start(self, group: int = 0) -> int:
        """Return the offset at which a group begins."""
        ...

    def end(self, group: int = 0) -> int:
        """Return the offset after a group."""
        ...

    def expand(self, template: bytes) -> bytes:
        """Return the template with the groups that it names."""
        ...


class Pattern(Protocol):
    r"""A compiled pattern, searched in bytes: `.` and `\pL` take UTF-8 characters and nothing that is not UTF-8."""

    @property
    def groups(self) -> int:
        """How many capturing groups there are."""
        ...

    @property
    def programsize(self) -> int:
        """How many states it has: a search may have to follow all of them at each byte."""
        ...

    def search(self, text: bytes) -> Match | None:
        """Return the first place at which the pattern is found."""
        ...

    def fullmatch(self, text: bytes) -> Match | None:
        """Return the match of the whole text."""
        ...


@lru_cache(maxsize=_KEPT)
def compiled(text: str) -> Pattern:
    """Return the pattern of a text in RE2's syntax, which is that of Go and so of blackbox_exporter's files.

    The latest 4,096 are kept. ValueError says what is wrong with the text.
    """
    # Only who has patterns loads the library: it costs start-up time and memory.
    import re2  # noqa: PLC0415 -- see above

    if len(text) > _LONGEST:
        raise ValueError(f"the pattern is longer than {_LONGEST} characters: split it into several")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        pattern: Pattern = re2.compile(text, options)
    except UnicodeEncodeError:
        raise ValueError("the pattern holds a character that cannot be UTF-8: write it as \\x{...}") from None
    except re2.error as error:
        raise ValueError(_sentence(text, error)) from None
    return pattern


def problem(text: str) -> str | None:
    """Return a sentence saying why a text is no pattern; None for a good one."""
    try:
        compiled(text)
    except ValueError as error:
        return str(error)
    return None


def _sentence(text: str, error: Exception) -> str:
    told = error.args[0] if error.args else ""
    words = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    # RE2 repeats the part that it did not understand as it is.
    words = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)
    shown = text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 -- what fits a line
    hint = ""
    if "perl operator" in words or "escape sequence" in words:
        hint = "; look-around, backreferences and \\Z are not part of RE2"
    return f"{shown!r} is no regular expression of RE2: {words}{hint}"
