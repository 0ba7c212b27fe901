"""A name server's answer: that it comes, in time, with the response code and the records that are wanted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter import probed, searching
from exporter.model import Family, Reading, Samples
from exporter.probes.dns.options import MISSING, Options, RecordChecks, is_installed, server_address
from exporter.wire.addresses import guarded
from exporter.wire.call import OURS, TlsFacts, WireError

if TYPE_CHECKING:
    from exporter.model import ProbeParts, State
    from exporter.probes.dns.exchange import Exchange
    from exporter.probes.dns.messages import Answer

__all__ = [
    "FAMILIES",
    "KEEPS_DEADLINE",
    "SLOW_AFTER",
    "TARGET",
    "Options",
    "RecordChecks",
    "aimed",
    "probe",
    "samples",
    "target",
]

SLOW_AFTER: Final = 2.0
TARGET: Final = ("server", "target.invalid")
"""The option that names the target, and what stands in it until a request does (RFC 6761, section 6.4)."""
KEEPS_DEADLINE: Final = True

LOOKING: Final = 0.5
"""Seconds that looking for patterns gets: the answer is there, however late it came."""
PHASES: Final = ("resolve", "connect", "request")

# Names and words of blackbox_exporter (prober/dns.go): its users' rules go on working.
DURATION: Final = Family("probe_dns_duration_seconds", "gauge", "Duration of DNS request by phase", ("phase",))
ANSWER: Final = Family("probe_dns_answer_rrs", "gauge", "Returns number of entries in the answer resource record list")
AUTHORITY: Final = Family(
    "probe_dns_authority_rrs", "gauge", "Returns number of entries in the authority resource record list"
)
ADDITIONAL: Final = Family(
    "probe_dns_additional_rrs", "gauge", "Returns number of entries in the additional resource record list"
)
SUCCEEDED: Final = Family(
    "probe_dns_query_succeeded", "gauge", "Displays whether or not the query was executed successfully"
)
SERIAL: Final = Family("probe_dns_serial", "gauge", "Returns the serial number of the zone")
FAMILIES: Final = (
    DURATION,
    ANSWER,
    AUTHORITY,
    ADDITIONAL,
    SUCCEEDED,
    SERIAL,
    *probed.ADDRESS_FAMILIES,
    *probed.TLS_FAMILIES,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is shown of a run: how many records each section had, and whether there was an answer at all."""

    address: str | None = None
    answer: int = 0
    authority: int = 0
    additional: int = 0
    succeeded: bool = False
    serial: int | None = None
    tls: TlsFacts | None = None


def target(options: Options) -> str:
    """Return the question and who is asked."""
    return f"{options.record} {options.query} at {options.server}"


def aimed(options: Options, target: str) -> Options:
    """Return the options with another server, as blackbox_exporter's target is; ValueError says how to write one."""
    server_address(target, 53)
    return dataclasses.replace(options, server=target)


def samples(reading: Reading) -> Samples:
    """Return what blackbox_exporter shows of a DNS probe, and of TLS where it was spoken."""
    if not isinstance(reading.facts, Facts):
        return {}
    facts = reading.facts
    found = probed.of_address(facts.address, reading.phases.get("resolve", 0.0))
    found |= {
        DURATION: {(phase,): reading.phases.get(phase, 0.0) for phase in PHASES},
        ANSWER: {(): float(facts.answer)},
        AUTHORITY: {(): float(facts.authority)},
        ADDITIONAL: {(): float(facts.additional)},
        SUCCEEDED: {(): float(facts.succeeded)},
    }
    if facts.serial is not None:
        found[SERIAL] = {(): float(facts.serial)}
    if facts.tls is not None:
        found |= probed.of_tls(facts.tls)
    return found


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Ask once and judge the answer."""
    if not is_installed():
        return Reading("unknown", MISSING, 0.0, "config")
    began = parts.clock.monotonic()
    phases: dict[str, float] = {}
    address: str | None = None
    try:
        address = await _address(options, parts, timeout)
        phases["resolve"] = parts.clock.monotonic() - began
        exchange = _exchange(options, parts, address)
        try:
            answer = await exchange.ask(timeout, phases["resolve"])
        finally:
            phases |= {"connect": exchange.connect, "request": exchange.request}
    except WireError as error:
        state: State = "unknown" if error.cause in OURS else "down"
        duration = parts.clock.monotonic() - began
        return Reading(state, error.reason, duration, error.cause, phases=phases, facts=Facts(address))
    return await _judged(options, parts, exchange, answer, phases)


async def _address(options: Options, parts: ProbeParts, timeout: float) -> str:
    """Return the server's numeric address that may be asked."""
    host = options.address.host
    found: str = (await parts.wire.resolve(host, options.ip_protocol, options.ip_fallback, timeout))[0]
    if not parts.allows(guarded(found)):
        raise WireError("refused", f"the address {found} of {host!r} may not be connected to from here")
    parts.explain(f"ask {found} for {options.record} {options.query}")
    return found


def _exchange(options: Options, parts: ProbeParts, address: str) -> Exchange:
    from exporter.probes.dns.exchange import Exchange  # noqa: PLC0415 -- loads dnspython, which few need

    return Exchange(options, address, parts)


async def _judged(
    options: Options, parts: ProbeParts, exchange: Exchange, answer: Answer, phases: dict[str, float]
) -> Reading:
    from exporter.probes.dns import messages  # noqa: PLC0415 -- as above

    duration = sum(phases.values())
    parts.explain(f"it answered {messages.told(answer)}")
    try:
        failed = await searching.apart(
            lambda: next(messages.failures(options, answer), None), messages.steps(options, answer), LOOKING
        )
    except TimeoutError:
        return Reading(
            "unknown", "the patterns could not be looked for in time: write simpler ones", duration, "config"
        )
    facts = Facts(
        exchange.address,
        len(answer.answer),
        len(answer.authority),
        len(answer.additional),
        succeeded=True,
        serial=answer.serial,
        tls=exchange.tls,
    )
    return Reading(
        "up" if failed is None else "down",
        failed or f"{messages.told(answer)} in {duration * 1000:.0f} ms",
        duration,
        "" if failed is None else "answer",
        phases=phases,
        tls_expiry=exchange.tls.earliest_expiry if exchange.tls is not None else None,
        facts=facts,
    )
