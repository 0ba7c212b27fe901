"""What may follow the ? of a database URL: a typing error there must not pass for trouble with the network.

The words of PostgreSQL are those that asyncpg reads
(https://magicstack.github.io/asyncpg/current/api/index.html#connection), MySQL's the ones of our own driver module.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from exporter.config import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[str], str | None]
    """Returns what is wrong with a value, after its name, or None."""

HIGHEST_PORT: Final = 65535
_LARGEST_FILE: Final = 4 * 1024 * 1024
"""Bytes of a certificate bundle: the largest in use are a tenth of it."""
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)


def is_port(text: str) -> bool:
    """Return whether a text is a port that can be connected to."""
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) <= HIGHEST_PORT and len(text) < len("100000")


def mistake(dialect: str, query: str) -> str | None:
    """Return what is wrong with the parameters of a URL; their values, which may be secret, are not repeated."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return "what follows its ? is not name=value"
    known = _KNOWN[dialect]
    for name, value in pairs:
        shown = repr(name) if _SHOWABLE.fullmatch(name) else "after its ?"
        if name not in known:
            # A name with a dot is a setting that an extension or the user's own functions made.
            if dialect == "postgresql" and re.fullmatch(r"\w+\.\w+", name):
                continue
            return f"the parameter {shown} is not known{_hint(dialect, name)}"
        if not value:
            return f"its parameter {shown} is empty"
        if wrong := known[name](value):
            return f"its parameter {shown} {wrong}"
    return None


def _hint(dialect: str, name: str) -> str:
    import difflib  # noqa: PLC0415 - only an error needs it

    if name in _ELSEWHERE:
        return f" ({_ELSEWHERE[name]})"
    if dialect == "postgresql" and name in _LIBPQ:
        return " (leave it out: it is libpq's, which is not used here)"
    near = difflib.get_close_matches(name, _KNOWN[dialect], n=1)
    if near:
        return f" (did you mean {near[0]!r}?)"
    if dialect == "postgresql":
        return " (a setting of the server is written options=-c%20name%3Dvalue)"
    return f" (known are {', '.join(_KNOWN[dialect])})"


def _any(_value: str) -> str | None:
    return None


def _one_of(*words: str) -> Check:
    def check(value: str) -> str | None:
        return None if value in words else f"must be {'one of ' if len(words) > 1 else ''}{', '.join(words)}"

    return check


def _ports(value: str) -> str | None:
    return None if all(map(is_port, value.split(","))) else f"must be a port from 1 to {HIGHEST_PORT}"


def _file(value: str) -> str | None:
    try:
        files.read(Path(value), _LARGEST_FILE)
    except ValueError as error:
        return f"names the file {value!r}, which {error}"
    return None


def _certificates(value: str) -> str | None:
    if wrong := _file(value):
        return wrong
    import ssl  # noqa: PLC0415 - most URLs name no file

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except ssl.SSLError:
        return f"names the file {value!r}, which holds nothing in PEM that TLS can read"
    return None


_TLS_VERSION: Final = _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CONNECTION: Final[Mapping[str, Check]] = {
    "host": _any,
    "port": _ports,
    "user": _any,
    "password": _any,
    "passfile": _any,
    "dbname": _any,
    "database": _any,
    "service": _any,
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslrootcert": _certificates,
    "sslcrl": _certificates,
    "sslcert": _file,
    "sslkey": _file,
    "sslpassword": _any,
    "ssl_min_protocol_version": _TLS_VERSION,
    "ssl_max_protocol_version": _TLS_VERSION,
    "target_session_attrs": _one_of("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
    "krbsrvname": _any,
    "gsslib": _any,
}
_SETTINGS: Final = ("application_name", "client_encoding", "jit", "lock_timeout", "options", "role", "search_path")
_MORE_SETTINGS: Final = ("statement_timeout", "timezone", "work_mem", "max_parallel_workers_per_gather")
_LIBPQ: Final = frozenset(
    {"channel_binding", "gssencmode", "keepalives", "keepalives_idle", "require_auth", "sslcompression", "sslsni"}
)
_ELSEWHERE: Final[Mapping[str, str]] = {
    "connect_timeout": "set connect_timeout beside the url",
    "ssl": "did you mean 'sslmode'?",
}
_KNOWN: Final[Mapping[str, Mapping[str, Check]]] = {
    "postgresql": {**_CONNECTION, **dict.fromkeys((*_SETTINGS, *_MORE_SETTINGS), _any)},
    "mysql": {
        "unix_socket": _any,
        "ssl": _one_of("true", "1", "required"),
        "ssl_ca": _certificates,
        "charset": _any,
    },
}
