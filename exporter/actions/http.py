"""An HTTP request for each item: done when the answer is 2xx. It carries JSON: the item, or what `json` says."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- the loader reads the types of the fields
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- the same
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl

from exporter import handover, placeholders
from exporter.config.options import Secret, option
from exporter.config.secrets import looks_secret
from exporter.labels import encodable
from exporter.model import GiveUp, Outcome, Plan
from exporter.outbound import requests, urls
from exporter.outbound.requests import BasicAuth, Request
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import ActionParts, Item

    Told = tuple[tuple[str | int, ...], str]

_LONG: Final = 16
"""Characters from which on a path, or a part of one, is long enough to be a secret that must not be shown."""
_EXACT: Final = 2**53
"""From here on, readers of JSON that have floating-point numbers only take one number for another (RFC 8259, 6)."""
_FIRST_CODE, _LAST_CODE = 100, 599
_WITHOUT_BODY: Final = frozenset({"GET", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where a request goes, and what it carries."""

    url: Secret = option(
        help="Where it goes: a URL of http or https. Who knows that of a chat's web hook may post: keep it in a file.",
        example="https://chat.example/hooks/…",
    )
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = option(
        "POST", help="The method. GET and DELETE carry the item only where `json` says what of it."
    )
    headers: Mapping[str, str] = option(
        default_factory=dict, help="Headers to send: fixed texts.", example={"X-Source": "watchbridge"}
    )
    basic_auth: BasicAuth | None = option(None, help="A user and a password to send.")
    bearer_token: Secret | None = option(None, help="A token to send as `Authorization: Bearer`.")
    json: Mapping[str, str | bool | float] | None = option(
        None,
        help="The body, a JSON object: numbers, true or false, and texts, of which each may be one whole {placeholder} "
        "as in the action `command`. Left out: the whole item.",
        example={"user": "{key}", "dry_run": False},
    )
    success: tuple[int, ...] = option(
        (), help="Codes that mean it was done. Left out: 200 to 299.", example=[200, 409], maximum=100
    )
    ca_file: Path | None = option(None, help="Certificates (PEM) to trust instead of the system's.")

    def __repr__(self) -> str:
        """Say where it goes and nothing more: headers may hold credentials."""
        try:
            return f"Options(url={urls.parse(self.url.reveal()).brief!r})"
        except ValueError:
            return "Options(url=<none>)"

    def hidden(self) -> Iterator[str]:
        """Yield what must not be shown although it is no option of its own: a server may send back what it was sent."""
        for name, value in self.headers.items():
            # Behind the word that tells the scheme, too.
            yield from (text for text in (value, *value.split()[1:]) if looks_secret(name, text))
        path, _, query = self.url.reveal().partition("://")[2].partition("#")[0].partition("?")
        path = "/" + path.partition("/")[2]
        yield from (part for part in (path, *path.split("/")) if len(part) >= _LONG)
        yield from (value for name, value in parse_qsl(query) if len(value) >= _LONG or looks_secret(name, value))
        if self.basic_auth is not None:
            yield requests.basic_pair(self.basic_auth)

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong, as (path, sentence); no sentence repeats a credential."""
        del configuration
        if told := placeholders.misplaced(self.url.reveal()):
            yield ("url",), f"no alert chooses where a request goes: {told}"
        elif told := urls.problem(self.url.reveal()):
            yield ("url",), told
        if self.basic_auth is not None and self.bearer_token is not None:
            yield ("bearer_token",), "basic_auth and bearer_token exclude each other: keep one of them"
        if self.bearer_token is not None and (told := requests.token_problem(self.bearer_token)):
            yield ("bearer_token",), told
        yield from self._header_problems()
        yield from self._body_problems()
        for index, code in enumerate(self.success):
            if not _FIRST_CODE <= code <= _LAST_CODE:
                yield ("success", index), f"{code} is no code of an answer: write {_FIRST_CODE} to {_LAST_CODE}"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield what works and is hardly meant."""
        del configuration
        for name in self.headers:
            if name.lower() == "authorization":
                yield ("headers", name), "a credential stands in the file: use basic_auth or bearer_token_file"

    def _header_problems(self) -> Iterator[Told]:
        seen: set[str] = set()
        for name, value in self.headers.items():
            if told := requests.header_problem(name, value) or placeholders.misplaced(value):
                yield ("headers", name), told
            elif name.lower() in seen:
                yield ("headers", name), "this header is given twice: capitals make no difference"
            elif name.lower() == "authorization" and (self.basic_auth or self.bearer_token):
                yield ("headers", name), "basic_auth or bearer_token writes this header: keep one of them"
            seen.add(name.lower())

    def _body_problems(self) -> Iterator[Told]:
        if self.method == "GET" and self.json is not None:
            yield ("json",), "a GET carries nothing: leave it out, or choose another method"
        for name, value in (self.json or {}).items():
            if isinstance(value, float) and not abs(value) < _EXACT:
                yield ("json", name), "this number is not exact for every reader of JSON: write it as a text"
            elif isinstance(value, str) and (told := placeholders.problem(value)):
                yield ("json", name), told
            elif told := placeholders.misplaced(name):
                yield ("json", name), f"no alert chooses a name: {told}"


def plan(options: Options, item: Item) -> Plan:
    """Return the request without what may be secret in it; PlaceholderError says what cannot be filled in."""
    url, body = urls.parse(options.url.reveal()), _body(options, item)
    details: dict[str, Any] = {"method": options.method, "url": url.brief}
    if body is None:
        return Plan(f"{options.method} {url.brief}", details)
    what = "the item" if options.json is None else ", ".join(body) or "an empty object"
    return Plan(encodable(f"{options.method} {url.brief} with {what} as JSON"), details | {"json": body})


def _body(options: Options, item: Item) -> dict[str, Any] | None:
    if options.json is None:
        return None if options.method in _WITHOUT_BODY else handover.document(item)
    facts = placeholders.facts(item)
    return {
        name: encodable(placeholders.filled(value, facts)) if isinstance(value, str) else _number(value)
        for name, value in options.json.items()
    }


def _number(value: bool | float) -> bool | float:  # noqa: FBT001 - a value of the configuration
    """Return a number as it was written: 1, not 1.0."""
    return int(value) if not isinstance(value, bool) and value == int(value) else value


async def act(options: Options, item: Item, parts: ActionParts, timeout: float) -> Outcome:
    """Send the request once; redirects are not followed, and the environment's proxies are not asked."""
    from exporter.outbound.sending import sent  # noqa: PLC0415 - options must be cheap to load

    try:
        body = _body(options, item)
    except PlaceholderError as error:
        return GiveUp(str(error))
    request = Request(
        method=options.method,
        url=urls.parse(options.url.reveal()),
        headers={**options.headers, **requests.authorization(options.basic_auth, options.bearer_token)},
        body=None if body is None else handover.encoded(body),
        ca_file=options.ca_file,
        success=frozenset(options.success) or None,
    )
    return await sent(request, parts, timeout)
