"""HTTP and HTTPS: a request, and what its answer says of the service. HTTP/1.1 on a connection of its own."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from exporter.model import Reading
from exporter.probes.http import plans, urls
from exporter.probes.http.bodyfile import read as read_body
from exporter.probes.http.checks import Answer, Judgement, judge, named
from exporter.probes.http.facts import FAMILIES, Facts, response_seconds, samples
from exporter.probes.http.options import Options
from exporter.probes.http.trip import travel
from exporter.searching import apart
from exporter.verdict import Verdict
from exporter.wire.call import OURS

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.model import ProbeParts, State
    from exporter.probes.http.head import Head
    from exporter.probes.http.plans import Plan
    from exporter.probes.http.trip import Trip
    from exporter.wire.call import WireError

__all__ = ["FAMILIES", "KEEPS_DEADLINE", "SLOW_AFTER", "TARGET", "Options", "aimed", "probe", "samples", "target"]

SLOW_AFTER: Final = 2.0
"""Seconds; S4 of the mission names slow answers as degraded and leaves the number open."""
TARGET: Final = ("url", "https://target.invalid")
"""The option that names the target, and what stands in it until a request does (RFC 6761, section 6.4)."""
KEEPS_DEADLINE: Final = True
"""All that is awaited has the deadline already: nobody need watch over it."""

_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SHOWN: Final = 64
_LEAST: Final = 0.25
"""Seconds that judging an answer gets at least: it is there, however late it came."""


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Ask once, within `timeout` seconds, and return what the answer means. Never raises, but for a cancellation."""
    try:
        path = options.body_file
        plan = plans.of(options) if path is None else await _with_file(options, path, timeout)
        trip = await travel(options, plan, parts, timeout)
    except ValueError as error:
        return Reading("unknown", str(error), 0.0, cause="config")
    if trip.error is not None:
        return _failed(trip, trip.error)
    if trip.exchange.head is None:
        return Reading("unknown", "the connection ended well and without an answer", trip.duration, cause="unexpected")
    answer = Answer(trip.exchange.head, trip.exchange.body, trip.exchange.cut, trip.outcome.tls is not None)
    if parts.hears and (took := response_seconds(answer.head.text(b"x-response-time")[:_SHOWN])) is not None:
        parts.explain(f"the service says that it took {took * 1000:.0f} ms")
    steps = plan.effort * (len(answer.body) + answer.head.size)
    try:
        judged = await apart(
            lambda: judge(options, plan, answer, parts.explain), steps, max(_LEAST, timeout - trip.duration)
        )
    except TimeoutError:
        return _reading(trip, Verdict("unknown", _costly(answer), "config"), _costly(answer))
    return _answered(trip, answer.head, judged)


def target(options: Options) -> str:
    """Return the URL without user, password and query: a query may hold a token."""
    try:
        return urls.parse(options.url, drop_user=True).shown
    except ValueError:
        return "no usable URL"


def aimed(options: Options, target: str) -> Options:
    """Return the options with this URL; one without a scheme is taken for http. ValueError says what was wanted."""
    scheme = _SCHEME.match(target)
    url = target if scheme else f"http://{target}"
    urls.parse(url)
    return replace(options, url=url)


async def _with_file(options: Options, path: Path, timeout: float) -> Plan:
    try:
        async with asyncio.timeout(timeout):
            body = await asyncio.to_thread(read_body, path)
    except TimeoutError:
        raise ValueError(
            f"the body_file {path.name} could not be read within {timeout:g} s: look at its disk"
        ) from None
    return plans.made(options, body)


def _failed(trip: Trip, error: WireError) -> Reading:
    head = trip.exchange.head
    reason = error.reason if head is None or trip.outcome.error is None else f"{named(head.code)}, but {error.reason}"
    state: State = "unknown" if error.cause in OURS else "down"
    return _reading(trip, Verdict(state, reason, error.cause), reason)


def _costly(answer: Answer) -> str:
    return (
        f"{named(answer.head.code)}, but the expressions could not be looked for in {len(answer.body)} bytes in time:"
        " write simpler ones, with fewer repetitions"
    )


def _answered(trip: Trip, head: Head, judged: Judgement) -> Reading:
    verdict, health, by_regex = judged
    reason = verdict.reason
    if verdict.state == "up":
        reason = f"{named(head.code)} in {trip.duration * 1000:.0f} ms" + (f"; {health.reason}" if health else "")
    elif verdict.cause == "health":
        reason = f"{named(head.code)}; {reason}"
    return _reading(trip, verdict, reason, by_regex=by_regex)


def _reading(trip: Trip, verdict: Verdict, reason: str, *, by_regex: bool = False) -> Reading:
    exchange, outcome, head = trip.exchange, trip.outcome, trip.exchange.head
    if head is None:
        facts = Facts(redirects=trip.redirects, address=outcome.address, tls=outcome.tls)
    else:
        facts = Facts(
            version=head.version,
            content_length=exchange.length,
            body_length=exchange.body_length,
            # blackbox_exporter also counts the one that it was told not to follow.
            redirects=trip.redirects + (head.code in plans.REDIRECTS and head.value(b"location") is not None),
            failed_due_to_regex=by_regex,
            last_modified=head.text(b"last-modified")[:_SHOWN],
            response_time=head.text(b"x-response-time")[:_SHOWN],
            address=outcome.address,
            tls=outcome.tls,
        )
    return Reading(
        state=verdict.state,
        reason=reason,
        duration=trip.duration,
        cause=verdict.cause,
        phases=trip.phases,
        status_code=None if head is None else head.code,
        tls_expiry=None if outcome.tls is None else outcome.tls.earliest_expiry,
        components=verdict.components,
        facts=facts,
    )
