"""A TCP connection: it opens, speaks TLS where that is wanted, and what comes is what is expected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from exporter import addresses, probed
from exporter.model import Family, Reading
from exporter.probes.tcp.dialogue import Dialogue
from exporter.probes.tcp.options import ExpectLabel, Options, QueryResponse
from exporter.wire.call import OURS, Call, StartTls
from exporter.wire.tls import client_context

if TYPE_CHECKING:
    from exporter.model import Cause, ProbeParts, Samples
    from exporter.wire.call import Outcome, WireError

__all__ = [
    "FAMILIES",
    "KEEPS_DEADLINE",
    "SLOW_AFTER",
    "TARGET",
    "ExpectLabel",
    "Options",
    "QueryResponse",
    "aimed",
    "probe",
    "samples",
    "target",
]

SLOW_AFTER: Final[float | None] = 2.0
TARGET: Final = ("address", "target.invalid:1")
"""The option that names the target, and what stands in it until a request does (RFC 6761, section 6.4)."""
KEEPS_DEADLINE: Final = True
FAILED_DUE_TO_BYTES: Final = Family("probe_failed_due_to_bytes", "gauge", "Indicates if probe failed due to bytes")
FAMILIES: Final[tuple[Family, ...]] = (
    *probed.ADDRESS_FAMILIES,
    *probed.TLS_FAMILIES,
    probed.FAILED_DUE_TO_REGEX,
    FAILED_DUE_TO_BYTES,
)


@dataclass(frozen=True, slots=True)
class TcpFacts:
    """What `samples` needs of a run."""

    outcome: Outcome
    failed_due_to_regex: bool
    failed_due_to_bytes: bool
    labels: tuple[tuple[str, str], ...] | None


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Connect, hold the dialogue, and say how that went."""
    try:
        address = addresses.parsed(options.address)
        context = client_context(options.tls_config) if _speaks_tls(options) else None
    except (ValueError, OSError) as error:
        return Reading("unknown", f"the probe is not usable: {error}", 0.0, "config")
    name = (options.tls_config.server_name if options.tls_config else None) or address.host

    def start_tls() -> StartTls:
        assert context is not None  # noqa: S101 -- _speaks_tls has seen the step that asks for it
        return StartTls(context, name)

    dialogue = Dialogue(options.query_response, start_tls, parts.explain)
    call = Call(
        host=address.host,
        port=address.port,
        context=context if options.tls else None,
        server_name=name,
        prefer=options.ip_protocol,
        fallback=options.ip_fallback,
        source=options.source_ip,
        allows=parts.allows,
        explain=parts.explain,
    )
    outcome: Outcome = await parts.wire.call(call, dialogue, timeout)
    return _reading(outcome, dialogue, len(options.query_response))


def samples(reading: Reading) -> Samples:
    """Return addresses, TLS and how the dialogue went, in blackbox_exporter's names."""
    facts = reading.facts
    if not isinstance(facts, TcpFacts):
        return {}
    found = probed.of_outcome(facts.outcome)
    found[probed.FAILED_DUE_TO_REGEX] = {(): float(facts.failed_due_to_regex)}
    found[FAILED_DUE_TO_BYTES] = {(): float(facts.failed_due_to_bytes)}
    if facts.labels is not None:
        names = tuple(name for name, _ in facts.labels)
        found[expect_info(names)] = {tuple(value for _, value in facts.labels): 1.0}
    return found


def target(options: Options) -> str:
    """Return the address."""
    return options.address


def aimed(options: Options, target: str) -> Options:
    """Return the options with another address; ValueError when it has no port."""
    return replace(options, address=str(addresses.parsed(target)))


@lru_cache(maxsize=256)
def expect_info(names: tuple[str, ...]) -> Family:
    """Return the family of what `expect` found; its label names are those of the configuration."""
    return Family("probe_expect_info", "gauge", "Explicit content matched", names)


def _speaks_tls(options: Options) -> bool:
    return options.tls or any(step.starttls for step in options.query_response)


def _reading(outcome: Outcome, dialogue: Dialogue, steps: int) -> Reading:
    facts = TcpFacts(
        outcome,
        dialogue.failed_due_to_regex,
        dialogue.failed_due_to_bytes,
        None if dialogue.labels is None else tuple(dialogue.labels.items()),
    )
    known: dict[str, Any] = {
        "duration": outcome.duration,
        "phases": dict(outcome.phases),
        "tls_expiry": outcome.tls.earliest_expiry if outcome.tls else None,
        "facts": facts,
    }
    if outcome.error is None:
        return Reading(state="up", reason=_success(outcome, steps), **known)
    cause, reason = _failure(outcome.error, dialogue)
    return Reading(state="unknown" if cause in OURS else "down", reason=reason, cause=cause, **known)


def _success(outcome: Outcome, steps: int) -> str:
    tls = f" with {outcome.tls.version}" if outcome.tls else ""
    said = {0: "", 1: " and was answered as expected"}.get(steps, f" and all {steps} steps went as expected")
    return f"connected{tls}{said} in {outcome.duration * 1000:.0f} ms"


def _failure(error: WireError, dialogue: Dialogue) -> tuple[Cause, str]:
    """Return cause and reason; a peer that said something else has answered, however long we then waited."""
    is_talking = dialogue.is_open and not dialogue.is_done
    if error.cause != "timeout" or not is_talking:
        return error.cause, error.reason
    return ("answer" if dialogue.has_other_answer else "timeout"), f"{error.reason}: {dialogue.awaited()}"
