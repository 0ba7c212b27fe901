"""A TLS certificate: it is trusted, belongs to the name, and does not end soon; also behind STARTTLS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import addresses, certificates, probed
from exporter.config.options import Duration, option
from exporter.labels import normalised
from exporter.model import Reading
from exporter.probes.tls import starttls
from exporter.wire.call import OURS, Call, StartTls
from exporter.wire.certificates import ends_at
from exporter.wire.tls import TlsOptions, client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from exporter.model import Cause, Family, ProbeParts, Samples, State
    from exporter.wire.call import Outcome, TlsFacts

__all__ = ["FAMILIES", "KEEPS_DEADLINE", "SLOW_AFTER", "TARGET", "Options", "aimed", "probe", "samples", "target"]

SLOW_AFTER: Final[float | None] = 2.0
TARGET: Final = ("address", "target.invalid:443")
"""The option that names the target, and what stands in it until a request does (RFC 6761, section 6.4)."""
KEEPS_DEADLINE: Final = True
FAMILIES: Final[tuple[Family, ...]] = (*probed.ADDRESS_FAMILIES, *probed.TLS_FAMILIES)
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A server that speaks TLS, and how long its certificates must still last."""

    address: str = option(help="Where to connect to: host:port.", example="www.example.com:443")
    server_name: str | None = option(
        None, help="The name that is asked for and must be in the certificate; left out: the host.", minimum=1
    )
    tls_config: TlsOptions | None = option(None, help="Whom to trust, a certificate of our own, and versions.")
    expires_within: Duration = option(
        Duration(14 * _DAY),
        help="Degraded when a certificate of the chain ends within this time; 0 switches that off.",
    )
    starttls: Literal["smtp", "imap", "pop3", "ftp", "postgresql"] | None = option(
        None, help="The protocol that is spoken before TLS begins; left out: TLS from the first byte."
    )
    ip_protocol: Literal["ip4", "ip6"] | None = option(
        None, help="Which addresses of a name are tried first; left out: in the order of the system."
    )
    ip_fallback: bool = option(default=True, help="Whether addresses of the other protocol are tried too.")

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield what contradicts itself or cannot be used."""
        del configuration
        if (sentence := addresses.problem(self.address)) is not None:
            yield ("address",), sentence
        if self.server_name and self.tls_config and self.tls_config.server_name not in {None, self.server_name}:
            yield ("server_name",), "tls_config names another server_name: keep one of them"

    def name(self, host: str) -> str:
        """Return the name that the certificate must hold."""
        return self.server_name or (self.tls_config.server_name if self.tls_config else None) or host


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Shake hands, and judge the certificates that the server showed.

    A handshake whose verification failed shows no certificate: then a second one without verification finds out which
    it was, for the reason and the expiry; nothing is sent on it. With TLS 1.3 our side of the handshake ends before the
    server has looked at a client certificate: its refusal is not seen here, and says nothing of the server's own.
    """
    try:
        address = addresses.parsed(options.address)
        context = client_context(options.tls_config)
    except (ValueError, OSError) as error:
        return Reading("unknown", f"the probe is not usable: {error}", 0.0, "config")
    outcome = await _call(options, address, context, parts, timeout)
    now = parts.clock.time()
    if outcome.error is None:
        state, cause, reason = _judged(outcome, options, now)
        return _reading(outcome, state, cause, reason)
    seen, reason = outcome, outcome.error.reason
    if outcome.error.cause == "tls" and outcome.tls is None and _verifies(options) and outcome.duration < timeout:
        parts.explain("looking at the certificate once more without verification, to say which it is")
        look = client_context(replace(options.tls_config or TlsOptions(), insecure_skip_verify=True))
        seen = await _call(options, address, look, parts, timeout - outcome.duration)
        if seen.tls is not None:
            reason = f"{reason}; {_described(seen.tls, now)}"
    failed: State = "unknown" if outcome.error.cause in OURS else "down"
    return replace(_reading(outcome, failed, outcome.error.cause, reason), **_shown(seen))


def samples(reading: Reading) -> Samples:
    """Return addresses and TLS in blackbox_exporter's names."""
    return {} if reading.facts is None else probed.of_outcome(reading.facts)


def target(options: Options) -> str:
    """Return the address."""
    return options.address


def aimed(options: Options, target: str) -> Options:
    """Return the options with another address; ValueError when it has no port."""
    return replace(options, address=str(addresses.parsed(target)))


async def _call(
    options: Options, address: addresses.Address, context: ssl.SSLContext, parts: ProbeParts, timeout: float
) -> Outcome:
    name = options.name(address.host)
    call = Call(
        host=address.host,
        port=address.port,
        context=None if options.starttls else context,
        server_name=name,
        prefer=options.ip_protocol,
        fallback=options.ip_fallback,
        allows=parts.allows,
        explain=parts.explain,
    )
    talk = starttls.conversation(options.starttls, StartTls(context, name), parts.explain)
    outcome: Outcome = await parts.wire.call(call, talk, timeout)
    return outcome


def _verifies(options: Options) -> bool:
    return options.tls_config is None or not options.tls_config.insecure_skip_verify


def _judged(outcome: Outcome, options: Options, now: float) -> tuple[State, Cause, str]:
    """Judge certificates of a handshake that succeeded."""
    if outcome.tls is None or not outcome.tls.certificates:
        return "down", "tls", "the server showed no certificate"
    described = _described(outcome.tls, now)
    left = outcome.tls.earliest_expiry - now
    if left > 0:
        soon = options.expires_within > 0 and left <= options.expires_within
        return ("degraded", "value", described) if soon else ("up", "", f"{outcome.tls.version}: {described}")
    if _verifies(options):
        # The chain that was verified is good, so what has expired is not part of it: clients go on working.
        return "degraded", "value", f"the server also sends a certificate that is not needed: {described}"
    return "down", "tls", described


def _described(tls: TlsFacts, now: float) -> str:
    """Return in words whose certificate it is, who issued it, and when it and its chain end."""
    own = tls.certificates[0]
    described = f"the certificate of {_name(own, 'subject')}, issued by {_name(own, 'issuer')}, {_ends(_end(own), now)}"
    first = min(tls.certificates, key=_end)
    if _end(first) < _end(own):
        described += f"; that of {_name(first, 'subject')}, sent with it, {_ends(_end(first), now)}"
    return described


@lru_cache(maxsize=64)
def _name(der: bytes, which: Literal["subject", "issuer"]) -> str:
    # Kept for a while: to read one with 10,000 names takes a tenth of a second.
    try:
        return normalised(getattr(certificates.read(der), which) or "nobody")
    except ValueError:
        return "an unreadable name"


def _end(der: bytes) -> float:
    try:
        return ends_at(der)
    except ValueError:
        return 0.0  # as the wire has it: what cannot be read is taken to have ended


def _ends(expiry: float, now: float) -> str:
    days = abs(expiry - now) / _DAY
    amount = f"{days:.0f} days" if round(days) > 1 else f"{days * 24:.0f} hours"
    date = datetime.fromtimestamp(expiry, UTC).strftime("%Y-%m-%d")
    return f"expired {amount} ago, on {date}" if expiry <= now else f"ends in {amount}, on {date}"


def _reading(outcome: Outcome, state: State, cause: Cause, reason: str) -> Reading:
    return Reading(
        state=state,
        reason=reason,
        duration=outcome.duration,
        cause=cause,
        phases=dict(outcome.phases),
        **_shown(outcome),
    )


def _shown(outcome: Outcome) -> dict[str, Any]:
    return {"tls_expiry": outcome.tls.earliest_expiry if outcome.tls else None, "facts": outcome}
