"""URLs of http and https that requests go to, taken apart once: nothing later reads the text in another way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from exporter import guard

PORTS: Final = {"http": 80, "https": 443}
LONGEST: Final = 8192
"""Characters of the longest URL: what servers take in a request line."""

_CONTROL: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 3986, section 3.3 and 3.4: what may stand in a path and a query as it is; % is that of what is encoded already.
_PATH: Final = "/%:@!$&'()*+,;=~-._"
_QUERY: Final = _PATH + "?"


@dataclass(frozen=True, slots=True, repr=False)
class Url:
    """A URL without user and fragment. `host` is canonical; `target`, which is path and query, may be secret."""

    scheme: str
    host: str
    port: int
    target: str

    def __repr__(self) -> str:
        """Say no more than everybody may see."""
        return f"Url({self.brief!r})"

    @property
    def origin(self) -> str:
        """Return scheme, host and port: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")

    @property
    def whole(self) -> str:
        """Return the URL as it is sent to."""
        return self.origin + self.target

    @property
    def brief(self) -> str:
        """Return the URL as people may see it where its path is a secret, as that of a chat's web hook is."""
        return self.origin + ("/…" if self.target != "/" else "")

    def joined(self, path: str) -> Url:
        """Return the URL of a path below this one; the query is left out."""
        below = self.target.partition("?")[0].rstrip("/")
        return Url(self.scheme, self.host, self.port, below + path)


def parse(text: str) -> Url:
    """Return the URL of a text; ValueError says what is wrong in a sentence that repeats nothing of the text."""
    if not text or len(text) > LONGEST:
        raise ValueError(f"the URL is empty or longer than {LONGEST} characters: write https://host/path")
    if _CONTROL.search(text) or "\\" in text:
        raise ValueError("the URL holds a space, a backslash or a control character: write it %-encoded, such as %20")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the URL has no proper host and port: write https://host:port/path") from None
    if parts.scheme not in PORTS:
        raise ValueError("only URLs of http and https can be asked: write https://host/path")
    if "@" in parts.netloc:
        raise ValueError("a user or a password stands in the URL: move them to basic_auth")
    if not host or port == 0:
        raise ValueError("the URL has no proper host and port: write https://host:port/path")
    if parts.netloc.startswith("[") != (":" in host):
        raise ValueError("the URL's host is no IPv6 address between brackets: write https://[2001:db8::1]/path")
    return Url(parts.scheme, _host(host), port or PORTS[parts.scheme], _target(parts.path, parts.query))


def _host(host: str) -> str:
    try:
        return guard.canonical(host)
    except guard.RefusedTargetError:
        raise ValueError("the URL's host is neither a name nor a plain address: write https://host/path") from None


def _target(path: str, query: str) -> str:
    path = quote(_LONE_PERCENT.sub("%25", path or "/"), safe=_PATH)
    return f"{path}?{quote(_LONE_PERCENT.sub('%25', query), safe=_QUERY)}" if query else path


def problem(text: str) -> str | None:
    """Return why a text is no URL to send to, as a sentence; None where it is one."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
