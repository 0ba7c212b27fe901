"""The web configuration file: TLS, users, headers and rate limit in the format of Prometheus' exporter-toolkit.

The keys are those of https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. It is
stricter than its model: what could leave a door open by mistake (an empty file, an unknown key, users without a
name, Client CAs that nothing asks for) is refused with a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.config import document
from exporter.config.scalars import Trap
from exporter.errors import InvalidConfigurationError, WebConfigError
from exporter.web.files import read_bounded
from exporter.web.tls_options import TlsOptions, tls_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HIGHEST_COST = 16
"""The highest bcrypt cost taken: it is about 4 s of CPU for each wrong password, and each step up doubles it."""

_HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_LOWEST_COST = 4
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` requests at once, and then one each `interval` seconds."""

    burst: int
    interval: float


@dataclass(frozen=True, slots=True)
class WebConfig:
    """A checked web configuration. `files` are all files it was made of, so that a change of any is seen."""

    tls: TlsOptions | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate: Rate | None = None
    files: tuple[Path, ...] = ()


def load_web_config(path: Path) -> WebConfig:
    """Read and check a file; WebConfigError says in one sentence everything that is wrong."""
    try:
        return parse_web_config(read_bounded(path).decode(), path)
    except UnicodeDecodeError:
        raise WebConfigError(path=path, reason="it is not UTF-8 text") from None
    except ValueError as error:
        raise WebConfigError(path=path, reason=str(error)) from None


def parse_web_config(text: str, path: Path) -> WebConfig:
    """Check the text of a file; paths in it are relative to the folder of `path`. ValueError lists every mistake."""
    data = _mapping(text, path.name)
    tls, files, mistakes = (
        tls_options(data["tls_server_config"], path.parent) if "tls_server_config" in data else (None, (), [])
    )
    mistakes = [
        *_unknown(data, ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"), ""),
        *mistakes,
        *_http_mistakes(data.get("http_server_config", {})),
        *_user_mistakes(data.get("basic_auth_users", {})),
        *_rate_mistakes(data.get("rate_limit", {})),
    ]
    if mistakes:
        raise ValueError("; ".join(mistakes))
    limit = data.get("rate_limit", {})
    interval = seconds(limit.get("interval", 0))
    return WebConfig(
        tls=tls,
        headers={name: text for name, text in data.get("http_server_config", {}).get("headers", {}).items() if text},
        users=data.get("basic_auth_users", {}),
        rate=Rate(limit["burst"], interval) if interval else None,
        files=(path, *files),
    )


def seconds(value: Any) -> float:
    """Return the seconds of a duration as Go writes it (`1s`, `1m30s`, `250ms`, or 0); ValueError otherwise."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    parts = list(_DURATION.finditer(value)) if isinstance(value, str) else []
    if not parts or "".join(part.group() for part in parts) != value:
        raise ValueError(f"found {value!r}, wanted a duration like 1s, 250ms or 1m30s")
    return sum(float(part["number"]) * _UNITS[part["unit"]] for part in parts)


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        found = document.read(text, name)
    except InvalidConfigurationError as error:
        raise ValueError("; ".join(error.problems)) from None
    mistakes = [
        *found.mistakes,
        *(found.mistake(path, trap.sentence) for path, trap in _traps((), found.data) if trap.sentence),
    ]
    if mistakes:
        told = (f"line {mistake.line}: {mistake.sentence}" for mistake in sorted(mistakes))
        raise ValueError("; ".join(told))
    data = found.data
    if not data or not isinstance(data, dict):
        # An empty file may be one that is just being written: taking it would drop users and TLS.
        raise ValueError("it holds no mapping of tls_server_config, basic_auth_users and so on: fill it or do without")
    return data


def _traps(path: tuple[str | int, ...], value: Any) -> Iterator[tuple[tuple[str | int, ...], Trap]]:
    """Yield the values that YAML readers take for different things; which types are wanted here does not matter."""
    if isinstance(value, Trap):
        yield path, value
    elif isinstance(value, dict | list):
        for step, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _traps((*path, step), child)


def _unknown(data: Mapping[str, Any], known: tuple[str, ...], where: str) -> Iterator[str]:
    for key in data:
        if key not in known:
            yield f"unknown key {where}{key}, known are {', '.join(known)}"


def _http_mistakes(section: Any) -> Iterator[str]:
    if not isinstance(section, dict):
        yield "http_server_config must be a mapping"
        return
    yield from _unknown(section, ("http2", "headers"), "http_server_config.")
    if not isinstance(section.get("http2", True), bool):
        yield "http_server_config.http2 must be true or false"
    headers = section.get("headers", {})
    if not isinstance(headers, dict):
        yield "http_server_config.headers must be a mapping"
        return
    yield from _unknown(headers, tuple(_HEADERS), "http_server_config.headers.")
    for name, value in headers.items():
        wanted = _HEADERS.get(name, ())
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            yield f"http_server_config.headers.{name} must be one line of ASCII text"
        elif value and wanted and value not in wanted:
            yield f"http_server_config.headers.{name} is {value!r}, wanted {' or '.join(wanted)}"


def _user_mistakes(section: Any) -> Iterator[str]:
    if not isinstance(section, dict):
        yield "basic_auth_users must be a mapping of user names to bcrypt hashes"
        return
    for user, hashed in section.items():
        found = _HASH.fullmatch(hashed) if isinstance(hashed, str) else None
        if not user or ":" in user:
            yield f"basic_auth_users: the user name {user!r} is empty or holds a colon"
        elif found is None:
            yield f"basic_auth_users.{user} is not a bcrypt hash: make one with htpasswd -nBC 10 {user}"
        elif not _LOWEST_COST <= int(found["cost"]) <= HIGHEST_COST:
            costs = f"{_LOWEST_COST} to {HIGHEST_COST}"
            yield f"basic_auth_users.{user} has the bcrypt cost {found['cost']}, wanted {costs}"


def _rate_mistakes(section: Any) -> Iterator[str]:
    if not isinstance(section, dict):
        yield "rate_limit must be a mapping"
        return
    yield from _unknown(section, ("interval", "burst"), "rate_limit.")
    try:
        interval = seconds(section.get("interval", 0))
    except ValueError as error:
        yield f"rate_limit.interval: {error}"
        return
    burst = section.get("burst", 0)
    if type(burst) is not int or burst < 0:
        yield "rate_limit.burst must be a whole number"
    elif bool(burst) != bool(interval):
        yield "rate_limit needs both, an interval above 0 and a burst of at least 1"
