"""What may be said of a service through the API: the fields of S4, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from exporter.errors import InvalidFieldsError
from exporter.schedule import Cron
from exporter.store.naming import name_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REQUIRED: Final = ("client_id", "name", "endpoint_url")
LONGEST_URL: Final = 2048
LONGEST_CREDENTIAL: Final = 1024
LONGEST_TIMEOUT_MS: Final = 300_000
_CODES: Final = range(100, 600)
_LARGEST_ID: Final = 2**63 - 1
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def checked(fields: Mapping[str, Any], *, complete: bool) -> dict[str, Any]:
    """Return the fields as they are stored; InvalidFieldsError says everything that is wrong with them.

    With `complete` those without a default must be there. User and password are checked here and encrypted later.
    """
    problems = [(name, sentence) for name, value in fields.items() if (sentence := _problem(name, value))]
    if complete:
        problems += [(name, "it is missing") for name in REQUIRED if name not in fields]
    if problems:
        raise InvalidFieldsError(tuple(problems))
    return dict(fields)


def place(url: str) -> tuple[str, str, int | None]:
    """Return where a URL leads to, as scheme, host and port: a credential is for one such place."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _problem(name: str, value: Any) -> str | None:
    judge = _JUDGES.get(name)
    return judge(value) if judge else f"there is no such field; there are {', '.join(_JUDGES)}"


def _url_problem(url: Any) -> str | None:
    if not isinstance(url, str) or not 0 < len(url) <= LONGEST_URL:
        return f"it must be a text of 1 to {LONGEST_URL} characters"
    # Python's own parser drops line ends and tabs, and browsers read \ as /: what is checked must be what is asked.
    if not url.isprintable() or any(mark in url for mark in ' \\"<>^`{|}'):
        return "it must hold no blanks and no characters that a URL must encode"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "its host or port cannot be read"
    if parts.scheme not in _DEFAULT_PORTS or not host or port == 0:
        return "it must begin with http:// or https:// and a host"
    if "@" in parts.netloc:
        return "it must hold no user or password; they have fields of their own"
    return None


def _cron_problem(pattern: Any) -> str | None:
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        return "it must be a text of five fields, or null"
    try:
        Cron.parse(pattern, "UTC")
    except ValueError as error:
        return str(error)
    return None


def _credential_problem(text: Any) -> str | None:
    if text is None or (isinstance(text, str) and len(text) <= LONGEST_CREDENTIAL and text.isprintable()):
        return None
    return f"it must be a text of at most {LONGEST_CREDENTIAL} characters without control characters, or null"


def _user_problem(text: Any) -> str | None:
    if isinstance(text, str) and ":" in text:
        return "it must hold no colon: basic authentication cannot carry one in a user (RFC 7617)"
    return _credential_problem(text)


def _number_problem(first: int, last: int, *, optional: bool = False) -> Callable[[Any], str | None]:
    def judge(value: Any) -> str | None:
        if (optional and value is None) or (type(value) is int and first <= value <= last):
            return None
        return f"it must be a whole number from {first} to {last}{', or null' if optional else ''}"

    return judge


_JUDGES: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "client_id": _number_problem(1, _LARGEST_ID),
    "name": name_problem,
    "endpoint_url": _url_problem,
    "basic_auth_username": _user_problem,
    "basic_auth_password": _credential_problem,
    "cron_schedule": _cron_problem,
    "enabled": lambda value: None if isinstance(value, bool) else "it must be true or false",
    "expected_status_code": _number_problem(_CODES.start, _CODES.stop - 1, optional=True),
    "timeout_ms": _number_problem(1, LONGEST_TIMEOUT_MS),
}
