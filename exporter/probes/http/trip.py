"""The way to an answer: one exchange, and one more for each redirect that is followed."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.probes.http import plans
from exporter.probes.http.conversation import Exchange, Tunnel
from exporter.wire.call import Call, Outcome, StartTls, WireError
from exporter.wire.tls import client_context

if TYPE_CHECKING:
    from exporter.model import ProbeParts
    from exporter.probes.http.options import Options
    from exporter.probes.http.plans import Hop, Plan
    from exporter.probes.http.urls import Url

MOST_REDIRECTS: Final = 10
"""Redirects that are followed; blackbox_exporter's number."""

_SHOWN: Final = 4


@dataclass(slots=True)
class Trip:
    """How it went. `phases` and `duration` (seconds) are summed over all exchanges, the rest is the last one's."""

    hop: Hop
    exchange: Exchange
    outcome: Outcome
    duration: float
    phases: dict[str, float]
    error: WireError | None = None
    seen: list[Url] = field(default_factory=list)

    @property
    def redirects(self) -> int:
        """How many redirects were followed."""
        return len(self.seen)


async def travel(options: Options, plan: Plan, parts: ProbeParts, timeout: float) -> Trip:
    """Ask, follow redirects where the options say so, and return how it went; ValueError when TLS cannot be set up."""
    hop = plan.first
    exchange, outcome = await _ask(options, plan, hop, parts, timeout)
    trip = Trip(hop, exchange, outcome, outcome.duration, outcome.phases, outcome.error)
    if options.follow_redirects:
        trip.phases = dict(trip.phases)
        while trip.error is None and (location := _location(trip)) is not None:
            await _follow(trip, location, options, plan, parts, timeout)
    return trip


def _location(trip: Trip) -> bytes | None:
    head = trip.exchange.head
    return head.value(b"location") if head is not None and head.code in plans.REDIRECTS else None


async def _follow(trip: Trip, location: bytes, options: Options, plan: Plan, parts: ProbeParts, timeout: float) -> None:
    try:
        hop = _next(trip, location, options)
    except ValueError as error:
        trip.error = WireError("protocol", f"{trip.hop.url.brief} cannot be followed: {error}")
        return
    left = timeout - trip.duration
    if left <= 0:
        trip.error = WireError("timeout", f"no answer within {timeout:g} s: the time went by with redirects")
        return
    trip.seen.append(trip.hop.url)
    parts.explain(f"redirect {trip.redirects}: {trip.hop.url.brief} leads to {hop.url.brief}")
    exchange, outcome = await _ask(options, plan, hop, parts, left)
    trip.hop, trip.exchange, trip.outcome = hop, exchange, outcome
    trip.duration += outcome.duration
    for phase, seconds in outcome.phases.items():
        trip.phases[phase] = trip.phases.get(phase, 0.0) + seconds
    if outcome.error is not None:
        reason = (
            f"after {trip.redirects} redirect{'s' * (trip.redirects > 1)}, at {hop.url.brief}: {outcome.error.reason}"
        )
        trip.error = WireError(outcome.error.cause, reason)


def _next(trip: Trip, location: bytes, options: Options) -> Hop:
    code = trip.exchange.head.code if trip.exchange.head is not None else 0
    hop = plans.next_hop(options, trip.hop, code, location)
    known = [*trip.seen, trip.hop.url]
    if hop.url in known and hop.method == trip.hop.method:
        loop = [url.brief for url in [*known[known.index(hop.url) :], hop.url]]
        raise ValueError(f"it redirects in a loop: {' → '.join(loop[:_SHOWN] + ['…'] * (len(loop) > _SHOWN))}")
    if trip.redirects == MOST_REDIRECTS:
        raise ValueError(f"it is more than {MOST_REDIRECTS} redirects away")
    return hop


async def _ask(options: Options, plan: Plan, hop: Hop, parts: ProbeParts, timeout: float) -> tuple[Exchange, Outcome]:
    url, proxy = hop.url, plan.proxy
    context = client_context(options.tls) if url.scheme == "https" else None
    tunnel = None
    if proxy is not None and context is not None:
        tunnel = Tunnel(plans.connect_request(url), StartTls(context, hop.server_name))
    exchange = Exchange(
        hop.request, limit=plan.limit, coding=plan.coding, has_body=hop.method.upper() != "HEAD", tunnel=tunnel
    )
    if proxy is not None and (refused := _refused(url, parts)) is not None:
        return exchange, Outcome(error=refused)
    hears = parts.hears
    if hears:
        parts.explain(f"{hop.method} {url.shown}" + (f" through the proxy {proxy.place}" if proxy else ""))
    place = proxy or url
    call = Call(
        host=place.host,
        port=place.port,
        context=None if proxy else context,
        server_name=None if proxy else hop.server_name,
        prefer=options.ip_protocol,
        fallback=options.ip_fallback,
        allows=parts.allows,
        explain=parts.explain if hears else None,
    )
    return exchange, await parts.wire.call(call, exchange, timeout)


def _refused(url: Url, parts: ProbeParts) -> WireError | None:
    """Return why a proxy must not be asked for an address: it would connect where we may not.

    All spellings that a resolver takes for an address count; what a name leads to is for the proxy to say.
    """
    address = url.host
    if ":" not in address:
        try:
            address = socket.inet_ntoa(socket.inet_aton(address))
        except OSError:
            return None
    return None if parts.allows(address) else WireError("refused", f"the address {address} may not be connected to")
