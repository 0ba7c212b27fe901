"""An echo request and its reply (ping): by an unprivileged socket where the system has one, else by a raw one."""

from __future__ import annotations

import dataclasses
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import addresses, probed
from exporter.config.options import option
from exporter.model import Family, Reading, Samples
from exporter.probes.icmp import sockets
from exporter.probes.icmp.packets import Echo
from exporter.wire.addresses import Address, guarded, numeric
from exporter.wire.call import OURS, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import ProbeParts, State

SLOW_AFTER: Final = 2.0
TARGET: Final = ("address", "target.invalid")
"""The option that names the target, and what stands in it until a request does (RFC 6761, section 6.4)."""
KEEPS_DEADLINE: Final = True

PHASES: Final = ("resolve", "setup", "rtt")

# Names and words of blackbox_exporter (prober/icmp.go): its users' rules go on working.
DURATION: Final = Family("probe_icmp_duration_seconds", "gauge", "Duration of icmp request by phase", ("phase",))
HOP_LIMIT: Final = Family("probe_icmp_reply_hop_limit", "gauge", "Replied packet hop limit (TTL for ipv4)")
FAMILIES: Final = (DURATION, HOP_LIMIT, *probed.ADDRESS_FAMILIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A host that answers an echo request."""

    address: str = option(help="The host: a name or an address.", example="192.0.2.1")
    ip_protocol: Literal["ip4", "ip6"] | None = option(
        None, help="Which addresses of a name are preferred; left out: in the order of the system."
    )
    ip_fallback: bool = option(
        default=True, help="Whether an address of the other protocol is taken where it has none."
    )
    source_ip: str | None = option(None, help="The address of this host to send from.", example="192.0.2.9")
    payload_size: int = option(56, help="Bytes that are sent beside the header.", minimum=0, maximum=65507)
    dont_fragment: bool = option(default=False, help="Forbid routers to split the request (IPv4 on Linux only).")
    ttl: int | None = option(None, help="Routers that the request may pass.", minimum=1, maximum=255)

    def problems(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what is no host and no address."""
        del configuration
        if sentence := _host_problem(self.address):
            yield ("address",), sentence
        if self.source_ip is not None and not addresses.is_numeric(self.source_ip):
            yield ("source_ip",), f"{self.source_ip!r} is no IP address: write one of this host's, such as 192.0.2.1"
        if self.dont_fragment and sys.platform != "linux":
            yield ("dont_fragment",), "only Linux knows this: leave it out"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is shown of a run."""

    address: str | None = None
    hop_limit: int | None = None


def _host_problem(host: str) -> str | None:
    if addresses.is_numeric(host):
        return None
    try:
        if addresses.parsed(f"{host}:1").host == host:
            return None
    except ValueError:
        pass
    return f"{host[:80]!r} is no host: write a name or an address, without a port, such as 192.0.2.1"


def target(options: Options) -> str:
    """Return the host."""
    return options.address


def aimed(options: Options, target: str) -> Options:
    """Return the options with another host; ValueError says how to write one."""
    if sentence := _host_problem(target):
        raise ValueError(sentence)
    return dataclasses.replace(options, address=target)


def samples(reading: Reading) -> Samples:
    """Return what blackbox_exporter shows of an ICMP probe."""
    if not isinstance(reading.facts, Facts):
        return {}
    found = probed.of_address(reading.facts.address, reading.phases.get("resolve", 0.0))
    found[DURATION] = {(phase,): reading.phases.get(phase, 0.0) for phase in PHASES}
    if reading.facts.hop_limit is not None:
        found[HOP_LIMIT] = {(): float(reading.facts.hop_limit)}
    return found


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Send one echo request and wait for its reply."""
    if sys.platform == "win32":
        return Reading("unknown", "echo requests are not built for Windows: use another kind of probe", 0.0, "system")
    began = parts.clock.monotonic()
    phases: dict[str, float] = {}
    address: str | None = None
    try:
        found = await _address(options, parts, timeout)
        address = found.host
        phases["resolve"] = parts.clock.monotonic() - began
        with sockets.opened(options, found) as ping:
            echo = Echo.made(found.family, options.payload_size, is_raw=ping.type == socket.SOCK_RAW)
            phases["setup"] = parts.clock.monotonic() - began - phases["resolve"]
            parts.explain(f"send {options.payload_size} bytes to {address}")
            left = timeout - (parts.clock.monotonic() - began)
            hop_limit, phases["rtt"] = await sockets.answered(ping, address, echo, parts.clock, left)
    except (WireError, TimeoutError) as error:
        duration = parts.clock.monotonic() - began
        trouble = error if isinstance(error, WireError) else _silence(address, timeout)
        state: State = "unknown" if trouble.cause in OURS else "down"
        return Reading(state, trouble.reason, duration, trouble.cause, phases=phases, facts=Facts(address))
    reason = f"{address} answered in {phases['rtt'] * 1000:.3g} ms"
    return Reading("up", reason, sum(phases.values()), phases=phases, facts=Facts(address, hop_limit))


def _silence(address: str | None, timeout: float) -> WireError:
    return WireError("timeout", f"no reply from {address} within {timeout:g} s")


async def _address(options: Options, parts: ProbeParts, timeout: float) -> Address:
    """Return the address that may be sent to."""
    host = options.address
    text: str = (await parts.wire.resolve(host, options.ip_protocol, options.ip_fallback, timeout))[0]
    found = numeric(text)
    if found is None:  # an interface that went away meanwhile
        raise WireError("connect", f"{text} is no address of this host's networks")
    if not parts.allows(guarded(found.host)):
        raise WireError("refused", f"the address {found.host} of {host!r} may not be connected to from here")
    return found
