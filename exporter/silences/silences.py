"""Asks Alertmanager for its silences, and says of an alert whether one of them silences it."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.errors import UnreachableError
from exporter.logs import REDACTION
from exporter.model import Done
from exporter.outbound import requests, urls
from exporter.outbound.requests import Answer, Request
from exporter.silences.known import Known, Silence
from exporter.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.bridge.options import AlertmanagerOptions
    from exporter.model import Clock

FRESH: Final = 5.0
"""Seconds for which an answer, or that there was none, is not asked for again."""
MAX_AGE: Final = 60.0
"""Seconds after which an answer says nothing any more."""
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of an answer: some 20,000 silences."""

log: Final = logging.getLogger("exporter.silences")

_MEND: Final = (
    "look at Alertmanager and at `alertmanager.url`, or let alerts be acted on without its word by "
    "`alertmanager.silences: proceed`"
)


class NoSilencesError(UnreachableError):
    """{reason}"""  # noqa: D400, D415 - the docstring is the message, which `reason` is the middle of


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a request may use."""

    clock: Clock
    permits: Callable[[str], bool]


class Silences:
    """What Alertmanager silences. Without its `url` or with `silences: ignore` it is never asked, and nothing is.

    `permits` judges the numeric addresses that may be connected to.
    """

    def __init__(self, options: AlertmanagerOptions | None, clock: Clock, permits: Callable[[str], bool]) -> None:
        self._options = options if options is not None and options.url and options.silences != "ignore" else None
        self._parts = _Parts(clock, permits)
        self._turn = asyncio.Lock()
        self._tried: float | None = None  # by the monotonic clock, as `_heard`
        self._heard: float | None = None
        self._asked = 0.0  # by the wall's clock: when `_heard`
        self._known: Known | None = None
        self._trouble = Trouble(
            log, "Alertmanager does not say what it silences", "Alertmanager says again what it silences"
        )

    @property
    def asks(self) -> bool:
        """Whether Alertmanager is asked at all."""
        return self._options is not None

    async def refresh(self) -> None:
        """Ask Alertmanager, unless that was done within the last FRESH seconds; who comes meanwhile waits for it.

        Never raises but a cancellation: what went wrong is said by `reason`, and in the log once.
        """
        if self._options is None:
            return
        async with self._turn:
            if self._tried is not None and self._parts.clock.monotonic() - self._tried < FRESH:
                return
            with self._trouble.noted():
                await self._ask(self._options)
            self._tried = self._parts.clock.monotonic()

    async def _ask(self, options: AlertmanagerOptions) -> None:
        # The age of what is known counts from the question: what is changed after it may not be in the answer.
        heard, asked = self._parts.clock.monotonic(), self._parts.clock.time()
        answer = await _answer(options, self._parts)
        try:
            # Thousands of silences take a while, in which others have their turn.
            self._known = await asyncio.to_thread(_read, answer, asked, self._known)
        except ValueError as error:
            raise NoSilencesError(reason=f"{_url(options).brief} {error}") from None
        self._heard, self._asked = heard, asked

    def reason(self, labels: Mapping[str, str]) -> str | None:
        """Return a sentence that says why an alert with these labels must wait; None where it need not.

        That is a silence of Alertmanager, or, unless `silences` is `proceed`, that it is not known whether there is
        one. Asks nobody: call `refresh` before.
        """
        if self._options is None:
            return None
        sentence = self._judged(labels, self._parts.clock.monotonic(), holds=self._options.silences == "hold")
        return None if sentence is None else REDACTION.apply(sentence)

    def _judged(self, labels: Mapping[str, str], now: float, *, holds: bool) -> str | None:
        if self._known is None or self._heard is None or now - self._heard > MAX_AGE:
            return _unknown(self._why(now), _MEND) if holds else None
        # The wall's clock may have been set meanwhile.
        certain, perhaps = self._known.silencing(labels, self._asked + now - self._heard)
        if certain is not None:
            return f"Alertmanager silences the alert by the {certain}"
        return _doubted(perhaps) if perhaps is not None and holds else None

    def _why(self, now: float) -> str:
        """Say why nothing is known, in words that stand alone."""
        if self._trouble.reason is not None:
            return self._trouble.reason
        return "it was not asked yet" if self._heard is None else f"it was last asked {now - self._heard:.0f} s ago"


def _unknown(why: str, mend: str) -> str:
    return f"it is not known whether Alertmanager silences the alert ({why}): {mend}"


def _doubted(silence: Silence) -> str:
    why = f"of the {silence} it is not clear whether it is meant, as {silence.matchers.unread}"
    return _unknown(why, "write that silence in another way, or expire it")


def _url(options: AlertmanagerOptions) -> urls.Url:
    """Return the URL that is asked; ValueError where none can be made of the option."""
    return urls.parse(options.url or "").joined("/api/v2/silences")


async def _answer(options: AlertmanagerOptions, parts: _Parts) -> bytes:
    """Ask once and return the whole body; NoSilencesError says why there is none."""
    from exporter.outbound.sending import asked  # noqa: PLC0415 - who asks nobody must not load what asks

    try:
        url = _url(options)
    except ValueError as error:
        raise NoSilencesError(reason=f"`alertmanager.url` cannot be asked, as {error}") from None
    headers = requests.authorization(options.basic_auth, options.api_token)
    request = Request(method="GET", url=url, headers=headers, ca_file=options.ca_file)
    answer = await asked(request, parts, options.timeout, limit=LARGEST)
    if not isinstance(answer, Answer):
        raise NoSilencesError(reason=answer.detail)
    outcome = requests.judged(request, answer, parts.clock.time())
    if not isinstance(outcome, Done):
        raise NoSilencesError(reason=outcome.detail)
    if not answer.whole:
        large = len(answer.body) >= LARGEST
        why = f"answered with more than {LARGEST:,} bytes" if large else "did not send the whole of its answer"
        raise NoSilencesError(reason=f"{request.where} {why}")
    return bytes(answer.body)


def _read(body: bytes, asked: float, before: Known | None) -> Known:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("answered with something that is no JSON") from None
    return Known.of(found, asked, before)
