"""Values as our own configuration reads them: what is written means the same when it is read again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_SPOKEN: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def key(name: str) -> str:
    """Return a name on one line, plain or quoted; in a key a dollar means nothing but itself."""
    return name if _is_plain(name) else _quoted(name)


def scalar(value: Any) -> str:
    """Return a value on one line, as our own configuration reads it: plain, quoted or in brackets."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(word)}: {scalar(one)}" for word, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(scalar(one) for one in value) + "]"
    if _is_plain(value):
        return str(value)
    # ${ begins a variable, and $$ is a dollar.
    return _quoted(re.sub(r"\$(?=[${])", "$$", value))


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and text.lower() not in _SPOKEN


def _quoted(value: str) -> str:
    return '"' + "".join(_ESCAPES.get(one) or _character(one) for one in value) + '"'


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _character(one: str) -> str:
    if one.isprintable():
        return one
    code = ord(one)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 -- YAML's three lengths
