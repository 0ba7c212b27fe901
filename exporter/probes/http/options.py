"""What the configuration says of an HTTP probe."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- the loader reads the types of the fields
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl

from exporter import patterns
from exporter.config.options import Secret, Size, option
from exporter.config.secrets import looks_secret
from exporter.probes.http import urls
from exporter.wire.tls import TlsOptions  # noqa: TC001 -- the loader reads the types of the fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Problem = tuple[tuple[str | int, ...], str]

# RFC 9110, section 5.6.2.
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"  # noqa: S105 -- a token of a grammar
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_OURS: Final = frozenset({"content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"})
_CODES: Final = re.compile(r"(?P<class>[1-9])xx|(?P<first>[1-9][0-9]{2})(?:-(?P<last>[1-9][0-9]{2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """A user and a password, sent with each request to the URL's own host."""

    username: str = option(help="The user.")
    password: Secret = option(help="The user's password.")

    def problems(self, configuration: Any) -> Iterator[Problem]:
        """Yield what cannot be sent."""
        del configuration
        if ":" in self.username or _UNSENDABLE.search(self.username):
            yield ("username",), "a colon or a control character in it cannot be sent: choose another user"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderCheck:
    """A header of the answer and what its values are held against."""

    header: str = option(help="The header's name.", example="Content-Type", pattern=_TOKEN)
    regexp: str = option(help="A regular expression (RE2).", example="^application/json")
    allow_missing: bool = option(default=False, help="Whether an answer without the header is fine.")

    def problems(self, configuration: Any) -> Iterator[Problem]:
        """Yield why the expression is none."""
        del configuration
        if told := patterns.problem(self.regexp):
            yield ("regexp",), told


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, weakref_slot=True)
class Options:
    """An HTTP request, and what its answer must be."""

    url: str = option(help="What is asked: a URL of http or https.", example="https://web.example/health", minimum=1)
    method: str = option("GET", help="The method of the request.", example="HEAD", pattern=_TOKEN)
    headers: Mapping[str, str] = option(
        default_factory=dict, help="Headers to send; Host may be among them.", example={"Accept-Language": "en"}
    )
    body: str | None = option(None, help="What is sent with the request.")
    body_file: Path | None = option(None, help="A file, read at each run, whose content is sent with the request.")
    basic_auth: BasicAuth | None = option(None, help="A user and a password to send.")
    bearer_token: Secret | None = option(None, help="A token to send as `Authorization: Bearer`.")
    expected_status_code: int | None = option(
        None, help="The only code that is up; others are degraded, or down from 500 on.", minimum=100, maximum=999
    )
    valid_status_codes: tuple[int | str, ...] = option(
        (), help="Codes that are up, all others being down: 200, 2xx or 200-299.", example=[200, "3xx", "401-403"]
    )
    valid_http_versions: tuple[str, ...] = option(
        (),
        help="Versions that an answer may have; others are down.",
        example=["HTTP/1.1"],
        pattern=r"HTTP/[0-9](\.[0-9])?",
    )
    body_matches: tuple[str, ...] = option(
        (), help="Regular expressions (RE2) of which each must be found in the body.", example=["signed in"]
    )
    body_not_matches: tuple[str, ...] = option(
        (), help="Regular expressions (RE2) of which none may be found in the body.", example=["(?i)error"]
    )
    header_matches: tuple[HeaderCheck, ...] = option((), help="Headers of which a value must match.")
    header_not_matches: tuple[HeaderCheck, ...] = option((), help="Headers of which no value may match.")
    follow_redirects: bool = option(
        default=False, help="Whether redirects are followed: at most 10, credentials only to the same host."
    )
    body_size_limit: Size | None = option(
        None, help="A longer body, once decompressed, is down. Left out: 1MiB is read and the rest is not.", minimum=1
    )
    compression: Literal["gzip", "deflate", "identity"] | None = option(
        None, help="The compression to ask for; an answer that does not have it is down."
    )
    require_tls: bool | None = option(None, help="true: an answer without TLS is down; false: one with TLS is.")
    proxy: str | None = option(
        None, help="An HTTP proxy to go through; the environment is never asked.", example="http://proxy.example:3128"
    )
    ip_protocol: Literal["ip4", "ip6"] | None = option(None, help="Which addresses of a name are tried first.")
    ip_fallback: bool = option(default=True, help="Whether the other addresses are tried when it has none of these.")
    tls: TlsOptions | None = option(None, help="How TLS is done.")
    health: bool = option(default=True, help="Whether the body is read as a health document and may worsen the state.")

    def __repr__(self) -> str:
        """Say what is probed and nothing more: headers and bodies may hold credentials."""
        try:
            return f"Options(url={urls.parse(self.url, drop_user=True).shown!r})"
        except ValueError:
            return "Options(url=<none>)"

    def hidden(self) -> Iterator[str]:
        """Yield what must not be shown although it is no option of its own: a server may send back what it was sent."""
        for name, value in self.headers.items():
            # Behind the word that tells the scheme, too.
            yield from (text for text in (value, *value.split()[1:]) if looks_secret(name, text))
        query = self.url.partition("#")[0].partition("?")[2]
        yield from (value for name, value in parse_qsl(query) if looks_secret(name, value))
        if self.basic_auth is not None:
            pair = f"{self.basic_auth.username}:{self.basic_auth.password.reveal()}"
            yield base64.b64encode(pair.encode(errors="replace")).decode()

    def problems(self, configuration: Any) -> Iterator[Problem]:
        """Yield what is wrong, as (path, sentence); no sentence repeats a credential."""
        del configuration
        yield from self._address_problems()
        yield from self._request_problems()
        yield from self._header_problems()
        yield from self._expectation_problems()

    def warnings(self, configuration: Any) -> Iterator[Problem]:
        """Yield what works and is hardly meant."""
        del configuration
        for name in self.headers:
            if name.lower() in {"authorization", "proxy-authorization"}:
                yield ("headers", name), "a credential stands in the file: use basic_auth or bearer_token_file"
        if self.valid_http_versions and not {"HTTP/1.0", "HTTP/1.1"} & {*self.valid_http_versions}:
            yield ("valid_http_versions",), "HTTP/1.1 is spoken, so this is always down: name HTTP/1.1 as well"
        if self.basic_auth or self.bearer_token:
            yield from self._clear_text_warnings()

    def _clear_text_warnings(self) -> Iterator[Problem]:
        if self.url.lower().startswith("http:") and not _is_loopback(self.url):
            yield ("url",), "credentials are sent in clear text: use https"

    def _address_problems(self) -> Iterator[Problem]:
        if told := _mistake(self.url):
            yield ("url",), told
        if self.proxy is None:
            return
        if told := _mistake(self.proxy):
            yield ("proxy",), told.replace("basic_auth", "an address without them")
        elif (proxy := urls.parse(self.proxy)).scheme != "http" or proxy.target != "/":
            yield ("proxy",), "a proxy is http, a host and a port: write http://proxy.example:3128"

    def _request_problems(self) -> Iterator[Problem]:
        if self.method.upper() in {"CONNECT", "TRACE"}:
            yield ("method",), f"{self.method} is no method of a probe: write GET, HEAD or POST"
        if self.body is not None and self.body_file is not None:
            yield ("body_file",), "body and body_file exclude each other: keep one of them"
        if self.basic_auth is not None and self.bearer_token is not None:
            yield ("bearer_token",), "basic_auth and bearer_token exclude each other: keep one of them"
        if self.bearer_token is not None and _UNSENDABLE.search(self.bearer_token.reveal()):
            yield ("bearer_token",), "the token holds a control character, such as the end of a line: remove it"

    def _header_problems(self) -> Iterator[Problem]:
        authorized = self.basic_auth is not None or self.bearer_token is not None
        seen: set[str] = set()
        for name, value in self.headers.items():
            lower, path = name.lower(), ("headers", name)
            if not re.fullmatch(_TOKEN, name):
                yield path, "this is no header's name: write letters, digits and hyphens"
            elif lower in _OURS:
                yield path, "this header is written by the probe itself: leave it out"
            elif lower in seen:
                yield path, "this header is given twice: capitals make no difference"
            elif lower == "host" and _mistake(f"http://{value}/"):
                yield path, "this is no host that can be asked for: write a name or an address, and perhaps a port"
            elif lower == "authorization" and authorized:
                yield path, "basic_auth or bearer_token writes this header: keep one of them"
            if _UNSENDABLE.search(value) or value != value.strip(" \t"):
                yield path, "the value holds a control character or has a space at its edge: remove it"
            seen.add(lower)

    def _expectation_problems(self) -> Iterator[Problem]:
        if self.expected_status_code is not None and self.valid_status_codes:
            yield ("valid_status_codes",), "expected_status_code and valid_status_codes exclude each other: keep one"
        for index, codes in enumerate(self.valid_status_codes):
            try:
                code_range(codes)
            except ValueError as error:
                yield ("valid_status_codes", index), str(error)
        for name in ("body_matches", "body_not_matches"):
            for index, text in enumerate(getattr(self, name)):
                if told := patterns.problem(text):
                    yield (name, index), told


def code_range(text: int | str) -> range:
    """Return the codes that 200, 2xx or 200-299 mean; ValueError says what was wanted instead."""
    found = _CODES.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{str(text)[:20]!r} is no status code: write 200, 2xx or 200-299")
    if found["class"]:
        return range(int(found["class"]) * 100, int(found["class"]) * 100 + 100)
    first = int(found["first"])
    last = int(found["last"] or first)
    if last < first:
        raise ValueError(f"{text!r} ends before it begins: write the smaller code first")
    return range(first, last + 1)


def _mistake(url: str) -> str | None:
    try:
        urls.parse(url)
    except ValueError as error:
        return str(error)
    return None


def _is_loopback(url: str) -> bool:
    try:
        host = urls.parse(url, drop_user=True).host
    except ValueError:
        return False
    return host in {"localhost", "::1"} or host.startswith("127.")
