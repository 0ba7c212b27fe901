"""What a probe sends, written once per options: ten thousand targets are asked each minute."""

from __future__ import annotations

import base64
import re
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter import __version__
from exporter.probes.http import urls
from exporter.probes.http.body import LIMIT
from exporter.probes.http.options import code_range
from exporter.searching import effort
from exporter.wire.call import Send

if TYPE_CHECKING:
    from exporter.probes.http.options import Options
    from exporter.probes.http.urls import Url

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""The codes that lead elsewhere (RFC 9110, section 15.4)."""
_KEEPING_METHOD: Final = frozenset({307, 308})
# RFC 9110, section 8.6: for these a missing body is said to be missing.
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
# What may go to another host than the configured one: anything else may be a credential.
_HARMLESS: Final = frozenset({"accept", "accept-language", "user-agent", "cache-control", "pragma"})
_LINE_END: Final = re.compile(r"[\r\n\0]")
_OF_BODY: Final = frozenset({"content-type", "content-encoding", "content-language"})


@dataclass(frozen=True, slots=True)
class Hop:
    """A request: where it goes and its bytes. `is_trusted` is false where the configured credentials must not go."""

    url: Url
    method: str
    body: bytes | None
    is_trusted: bool
    request: Send
    server_name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What options mean: the first request, and what is held against its answer. `codes` None: decision by class."""

    first: Hop
    proxy: Url | None
    codes: frozenset[int] | None
    limit: int
    coding: str
    has_checks: bool
    effort: int
    """Steps that the expressions take for each byte at worst."""


class _Kept(weakref.ref["Options"]):
    """The plan of options, and where it is kept: a closure for each of ten thousand would be larger than the plan."""

    __slots__ = ("key", "plan")

    key: int
    plan: Plan


_PLANS: Final[dict[int, _Kept]] = {}


def of(options: Options) -> Plan:
    """Return the plan of these options, kept as long as they are. ValueError says why they cannot be probed."""
    key = id(options)
    kept = _PLANS.get(key)
    if kept is not None and kept() is options:
        return kept.plan
    fresh = _Kept(options, _forget)
    fresh.key, fresh.plan = key, made(options, None if options.body is None else options.body.encode())
    _PLANS[key] = fresh
    return fresh.plan


def _forget(gone: weakref.ref[Options]) -> None:
    # Another object may have the number by now.
    if isinstance(gone, _Kept) and _PLANS.get(gone.key) is gone:
        del _PLANS[gone.key]


def made(options: Options, body: bytes | None) -> Plan:
    """Return the plan of these options with this body. ValueError says why they cannot be probed."""
    url = urls.parse(options.url)
    proxy = urls.parse(options.proxy) if options.proxy is not None else None
    codes = options.valid_status_codes
    return Plan(
        first=_hop(options, url, options.method, body, is_trusted=True),
        proxy=proxy,
        codes=frozenset(code for text in codes for code in code_range(text)) if codes else None,
        limit=options.body_size_limit or LIMIT,
        coding=options.compression if options.compression in {"gzip", "deflate"} else "",
        has_checks=_has_checks(options),
        effort=effort(_expressions(options)),
    )


def next_hop(options: Options, hop: Hop, code: int, location: bytes) -> Hop:
    """Return the request that follows a redirect; ValueError says why it is not made.

    Credentials stay behind for good once scheme, host or port change: what came from there is not to be trusted.
    """
    url = urls.joined(hop.url, location)
    is_trusted = hop.is_trusted and url.origin == hop.url.origin
    method, body = hop.method, hop.body
    if code not in _KEEPING_METHOD and method not in {"GET", "HEAD"}:
        # As browsers do (RFC 9110, section 15.4.2, note): the form was taken, its answer is elsewhere.
        method, body = "GET", None
    if body is not None and not is_trusted:
        raise ValueError("it redirects to another host, where the configured body must not go")
    return _hop(options, url, method, body, is_trusted=is_trusted)


def _hop(options: Options, url: Url, method: str, body: bytes | None, *, is_trusted: bool) -> Hop:
    host = next((value for name, value in options.headers.items() if name.lower() == "host"), "") if is_trusted else ""
    server_name = urls.parse(f"https://{host}/").host if host else url.host
    if is_trusted and options.tls is not None and options.tls.server_name:
        server_name = options.tls.server_name
    absolute = options.proxy is not None and url.scheme == "http"
    target = url.whole if absolute else url.target
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host or url.authority}"]
    lines += _headers(options, has_body=body is not None, is_trusted=is_trusted)
    if body is not None or method.upper() in _WITH_BODY:
        lines.append(f"Content-Length: {len(body or b'')}")
    # The last defence: options that nobody checked must not become a second request either.
    if any(_LINE_END.search(line) for line in lines):
        raise ValueError("the method, a header or a credential holds the end of a line: remove it")
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    return Hop(url, method, body, is_trusted, Send(head + (body or b"")), server_name)


def _headers(options: Options, *, has_body: bool, is_trusted: bool) -> list[str]:
    chosen = {"user-agent": ("User-Agent", f"Watchbridge/{__version__}"), "accept": ("Accept", "*/*")}
    if options.compression is not None:
        chosen["accept-encoding"] = ("Accept-Encoding", options.compression)
    if is_trusted and options.basic_auth is not None:
        pair = f"{options.basic_auth.username}:{options.basic_auth.password.reveal()}".encode()
        chosen["authorization"] = ("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    if is_trusted and options.bearer_token is not None:
        chosen["authorization"] = ("Authorization", f"Bearer {options.bearer_token.reveal()}")
    for name, value in options.headers.items():
        lower = name.lower()
        if lower == "host" or not (is_trusted or lower in _HARMLESS) or (lower in _OF_BODY and not has_body):
            continue
        chosen[lower] = (name, value)
    return [f"{name}: {value}" for name, value in chosen.values()]


def connect_request(url: Url) -> Send:
    """Return what asks a proxy for a connection to the host of a URL."""
    lines = [f"CONNECT {url.place} HTTP/1.1", f"Host: {url.place}", f"User-Agent: Watchbridge/{__version__}", "", ""]
    return Send("\r\n".join(lines).encode())


def _expressions(options: Options) -> list[str]:
    of_headers = (*options.header_matches, *options.header_not_matches)
    return [*options.body_matches, *options.body_not_matches, *(check.regexp for check in of_headers)]


def _has_checks(options: Options) -> bool:
    return bool(
        options.valid_http_versions
        or options.body_matches
        or options.body_not_matches
        or options.header_matches
        or options.header_not_matches
        or options.require_tls is not None
        or options.body_size_limit is not None
    )
