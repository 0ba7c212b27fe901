"""URLs of http and https, taken apart once and written so that nothing in them becomes a header or a second request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

PORTS: Final = {"http": 80, "https": 443}
LONGEST: Final = 8192
"""Characters of the longest URL: what servers take in a request line."""

_BRIEF: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}", re.ASCII)
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 3986, section 3.3 and 3.4: what may stand in a path and a query as it is; % is that of what is encoded already.
_PATH: Final = "/%:@!$&'()*+,;=~-._"
_QUERY: Final = _PATH + "?"


@dataclass(frozen=True, slots=True)
class Url:
    """A URL without user, password and fragment. `host` is ASCII and without brackets; `query` may hold tokens."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None

    @property
    def authority(self) -> str:
        """Return host and port as the header Host has them: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """Return host and port with both of them, as CONNECT has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return scheme, host and port: where they are the same, credentials may go."""
        return self.scheme, self.host.lower(), self.port

    @property
    def target(self) -> str:
        """Return path and query as the request line has them."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def shown(self) -> str:
        """Return the URL as people may see it: without its query, which may hold a token."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def brief(self) -> str:
        """Return what `shown` returns, cut where it would fill a page."""
        return self.shown if len(self.path) <= _BRIEF else f"{self.shown[:_BRIEF]}…"

    @property
    def whole(self) -> str:
        """Return the URL with its query."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str, *, drop_user: bool = False) -> Url:
    """Return the URL of a text; ValueError says what is wrong and repeats neither user nor password.

    A user in it is an error, unless it is to be dropped (as in what a server redirects to).
    """
    if not text or len(text) > LONGEST:
        raise ValueError(f"the URL is empty or longer than {LONGEST} characters: write https://host/path")
    if _CONTROL.search(text):
        raise ValueError("the URL holds a space or a control character: write it %-encoded, such as %20")
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        raise ValueError("the URL's host or port cannot be read: write https://host:port/path") from None
    if scheme not in PORTS:
        raise ValueError("the URL is neither http nor https: write https://host/path")
    if "@" in parts.netloc and not drop_user:
        raise ValueError("the URL holds a user or a password: leave them out and give basic_auth")
    if not host:
        raise ValueError("the URL names no host: write https://host/path")
    query = _quoted(parts.query, _QUERY) if parts.query or "?" in text.partition("#")[0] else None
    if port == 0:
        raise ValueError("the URL's port is 0: write one from 1 to 65535")
    return Url(scheme, _host(host), port or PORTS[scheme], _quoted(parts.path, _PATH) or "/", query)


def joined(base: Url, location: bytes) -> Url:
    """Return where a redirect leads to; ValueError says why it leads nowhere that may be asked.

    Credentials in it are dropped: nobody configured them.
    """
    try:
        text = location.decode()
    except UnicodeDecodeError:
        text = location.decode("latin-1")
    if len(text) > LONGEST or _CONTROL.search(text.strip(" ").replace(" ", "")):
        raise ValueError("it redirects to a URL that is too long or holds control characters")
    try:
        whole = urljoin(base.whole, text.strip(" ").replace(" ", "%20"))
        scheme = urlsplit(whole).scheme.lower()
    except ValueError:
        raise ValueError("it redirects to a URL that cannot be read") from None
    if scheme not in PORTS:
        raise ValueError(f"it redirects to {scheme[:20]!r}, which is neither http nor https")
    try:
        return parse(whole, drop_user=True)
    except ValueError as error:
        raise ValueError(f"it redirects to a URL that cannot be asked: {error}") from None


def _host(host: str) -> str:
    if ":" in host:
        try:
            if "%" not in host:
                return str(IPv6Address(host))
        except ValueError:
            pass
        raise ValueError("the URL's IPv6 address is none, or has a zone: write [2001:db8::1]")
    name = host if host.isascii() else _ascii(host)
    if not _NAME.fullmatch(name):
        raise ValueError("the URL's host is no name and no address: write letters, digits, dots and hyphens")
    return name


def _ascii(host: str) -> str:
    # Its tables take 1.4 MiB and 8 ms to load (measured): only who has such names pays for them.
    import idna  # noqa: PLC0415 -- see above

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:
        raise ValueError("the URL's host is no international name that can be looked up: check its letters") from None


def _quoted(text: str, safe: str) -> str:
    return text if text.isalnum() and text.isascii() else quote(_LONE_PERCENT.sub("%25", text), safe=safe)
