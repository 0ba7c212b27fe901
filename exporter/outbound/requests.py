"""A request with its credentials, and what its answer means."""

from __future__ import annotations

import base64
import email.utils
import http
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from exporter import __version__
from exporter.config.options import Secret, option
from exporter.handover import MARGIN, OUTPUT
from exporter.model import Done, GiveUp, Outcome, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.outbound.urls import Url

    Told = tuple[tuple[str | int, ...], str]

LONGEST_WAIT: Final = 3600.0
"""Seconds that a server can have us wait by Retry-After."""
READ: Final = OUTPUT + MARGIN
"""Bytes of an answer's body that are read."""
MESSAGE: Final = 400
"""Characters of a server's own message that a sentence quotes: what matters often stands at its end."""

_AGAIN: Final = frozenset({408, 425, 429})
_NOT_FIXED: Final = frozenset({501, 505})  # a server that does not know the method will not know it later
# RFC 9110, section 5.6.2.
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """A user and a password, sent with the request."""

    username: str = option(help="The user.", minimum=1)
    password: Secret = option(help="The user's password.")

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what cannot be sent."""
        del configuration
        if ":" in self.username or _UNSENDABLE.search(self.username):
            yield ("username",), "a colon or a control character in it cannot be sent: choose another user"
        if _UNSENDABLE.search(self.password.reveal()):
            yield ("password",), "the password holds a control character, such as the end of a line: remove it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent. `success` are the codes that mean it was done; None: 200 to 299. Headers and body may be secret.

    With `socket` it goes to that unix socket, whatever host the URL names.
    """

    method: str
    url: Url
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    ca_file: Path | None = None
    success: frozenset[int] | None = None
    socket: Path | None = None

    @property
    def where(self) -> str:
        """Return where it goes, as everybody may see it."""
        return self.url.brief if self.socket is None else str(self.socket)

    def wire_headers(self) -> dict[str, str]:
        """Return the headers with those that every request of ours has, where they are not given."""
        given = {name.lower() for name in self.headers}
        # No compression: what is read of an answer is bounded, and stays so.
        ours = {"User-Agent": f"Watchbridge/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        if self.body is not None:
            ours["Content-Type"] = "application/json"
        return {name: value for name, value in ours.items() if name.lower() not in given} | dict(self.headers)


@dataclass(slots=True)
class Answer:
    """What a server answered: the body's first bytes, and Retry-After as it was sent.

    `whole` says that the body is all there is: neither cut by a bound nor broken off.
    """

    code: int
    retry_after: str | None = None
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    @property
    def words(self) -> str:
        """Return the code with its phrase: never the server's own words."""
        try:
            return f"{self.code} {http.HTTPStatus(self.code).phrase}"
        except ValueError:
            return str(self.code)

    def document(self) -> dict[str, Any]:
        """Return the JSON object that the body is; ValueError where it is none, or not whole."""
        try:
            found = json.loads(self.body) if self.whole else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValueError("answered with something that is no whole JSON object")  # noqa: TRY004 - what it promises
        return found

    def message(self) -> str:
        """Return the `message` of the JSON object that the body is, on one line that is not too long; else nothing."""
        try:
            told = self.document().get("message")
        except ValueError:
            return ""
        line = " ".join(told.split()) if isinstance(told, str) else ""
        line = "".join(letter if letter.isprintable() else "\ufffd" for letter in line[: MESSAGE + 1])
        return line if len(line) <= MESSAGE else f"{line[: MESSAGE - 1]}…"


def authorization(basic_auth: Any, token: Secret | None) -> dict[str, str]:
    """Return the header for a user (with `username` and `password`) or a token; none where there is neither."""
    if token is not None:
        return {"Authorization": f"Bearer {token.reveal()}"}
    return {} if basic_auth is None else {"Authorization": f"Basic {basic_pair(basic_auth)}"}


def basic_pair(basic_auth: Any) -> str:
    """Return user and password as the header has them."""
    pair = f"{basic_auth.username}:{basic_auth.password.reveal()}"
    return base64.b64encode(pair.encode(errors="replace")).decode()


def token_problem(token: Secret) -> str | None:
    """Return why no header can carry a token, or None."""
    if token.reveal().isascii() and not _UNSENDABLE.search(token.reveal()):
        return None
    return "the token holds characters that no header carries: make one of letters and digits"


def header_problem(name: str, value: str) -> str | None:
    """Return why a header cannot be sent, as a sentence that does not repeat its value; None where it can."""
    if not _NAME.fullmatch(name):
        return "this is no header's name: write letters, digits and hyphens"
    if name.lower() in _OURS:
        return "this header is written by the request itself: leave it out"
    if _UNSENDABLE.search(value) or value != value.strip(" \t"):
        return "the value holds a control character or has a space at its edge: remove it"
    return None


def judged(request: Request, answer: Answer, now: float) -> Outcome:
    """Return what an answer means: done, try again (perhaps not before a time), or never.

    A redirect is not followed: it would carry what we send to a place that nobody configured.
    """
    output = answer.body.decode(errors="replace")
    said = f"{request.where} answered {answer.words}"
    success = request.success or range(200, 300)
    if answer.code in success:
        return Done(said, output)
    if answer.code in _AGAIN or (answer.code >= 500 and answer.code not in _NOT_FIXED):  # noqa: PLR2004 - RFC 9110, 15.6
        return Retry(said, output, _wait(answer.retry_after, now))
    if 300 <= answer.code < 400:  # noqa: PLR2004 - RFC 9110, section 15.4
        return GiveUp(f"{said}, and redirects are not followed: configure the URL that it leads to", output)
    return GiveUp(said, output)


def _wait(text: str | None, now: float) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, section 10.2.3), bounded; None where it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_WAIT)
    try:
        seconds = email.utils.parsedate_to_datetime(text[:100]).timestamp() - now
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
