"""What the configuration says of a TCP probe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import addresses, patterns
from exporter.config.options import option
from exporter.wire.tls import TlsOptions  # noqa: TC001 -- the loader reads the types of the fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Problem = tuple[tuple[str | int, ...], str]

_REFERENCE: Final = re.compile(r"\$(?:\$|(?P<plain>\w+)|\{(?P<braced>\w+)\})", re.ASCII)
_NAMED: Final = re.compile(r"\(\?P?<([A-Za-z_]\w*)>", re.ASCII)
# Prometheus keeps names with two underscores to itself: `__name__` would let the peer choose the metric's.
_LABEL: Final = r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectLabel:
    """A label of `probe_expect_info`."""

    name: str = option(help="The label's name.", example="ssh_version", pattern=_LABEL, maximum=128)
    value: str = option(help="Its value, in which ${1} is the first group of `expect`.", example="${1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResponse:
    """One step of a dialogue: what is awaited, what is sent then, and whether TLS begins after that."""

    expect: str | None = option(
        None, help="A regular expression (RE2): lines are read until it is found in one.", example="^220 "
    )
    expect_bytes: str | None = option(
        None, help="Exactly these bytes (UTF-8) must come next; line ends count.", minimum=1, maximum=65536
    )
    labels: tuple[ExpectLabel, ...] = option((), help="Labels of `probe_expect_info`, made of what `expect` found.")
    send: str | None = option(
        None,
        help="What is sent, with a line end (LF) behind it; beside `expect`, ${1} is its first group and $$ is $.",
        example="PONG ${1}",
        maximum=65536,
    )
    starttls: bool = option(default=False, help="Begin TLS after this step.")

    def problems(self, configuration: Any) -> Iterator[Problem]:
        """Yield what is wrong with this step."""
        del configuration
        if self.expect is None and not (self.expect_bytes or self.send or self.starttls):
            yield (), "this step does nothing: give expect, expect_bytes, send or starttls"
        if self.expect is not None:
            yield from self._expect_problems(self.expect)
        names = [label.name for label in self.labels]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("labels", index, "name"), f"there is a label {name!r} already: give each a name of its own"
        if self.expect is None and self.labels:
            yield ("labels",), "labels are made of what `expect` found: give expect, or leave labels out"

    def _expect_problems(self, expect: str) -> Iterator[Problem]:
        if (sentence := patterns.problem(expect)) is not None:
            yield ("expect",), sentence
            return
        known = {*_NAMED.findall(expect), *(str(group) for group in range(patterns.compiled(expect).groups + 1))}
        for reference in references(self.send or ""):
            if reference not in known:
                yield ("send",), _no_group(reference)
        for index, label in enumerate(self.labels):
            for reference in references(label.value):
                if reference not in known:
                    yield ("labels", index, "value"), _no_group(reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A TCP connection, and what is said on it."""

    address: str = option(help="Where to connect to: host:port.", example="127.0.0.1:5672")
    tls: bool = option(default=False, help="Speak TLS from the first byte.")
    tls_config: TlsOptions | None = option(None, help="How TLS is spoken, from the first byte or after STARTTLS.")
    ip_protocol: Literal["ip4", "ip6"] | None = option(
        None, help="Which addresses of a name are tried first; left out: in the order of the system."
    )
    ip_fallback: bool = option(default=True, help="Whether addresses of the other protocol are tried too.")
    source_ip: str | None = option(None, help="The address of this host to connect from.", example="192.0.2.1")
    query_response: tuple[QueryResponse, ...] = option(
        (), help="The dialogue, step by step; without any, connecting is enough.", maximum=100
    )

    def problems(self, configuration: Any) -> Iterable[Problem]:
        """Yield what contradicts itself or cannot be used."""
        del configuration
        if (sentence := addresses.problem(self.address)) is not None:
            yield ("address",), sentence
        if self.source_ip is not None and not addresses.is_numeric(self.source_ip):
            yield ("source_ip",), f"{self.source_ip!r} is no IP address: write one of this host's, such as 192.0.2.1"
        begins = [index for index, step in enumerate(self.query_response) if step.starttls]
        if self.tls:
            begins.insert(0, -1)
        for index in begins[1:]:
            yield ("query_response", index, "starttls"), "TLS has begun already: leave starttls out here"
        if self.tls_config is not None and not begins:
            yield ("tls_config",), "TLS is never begun: set tls to true, give a step with starttls, or leave this out"
        labelled = [index for index, step in enumerate(self.query_response) if step.labels]
        for index in labelled[1:]:
            yield ("query_response", index, "labels"), "only one step may have labels: put them all into one"


def references(template: str) -> list[str]:
    """Return the groups that a template names, as Go's regexp.Expand reads it."""
    return [found["plain"] or found["braced"] for found in _REFERENCE.finditer(template) if found[0] != "$$"]


def expanded(template: str, pattern: patterns.Pattern, match: patterns.Match) -> bytes:
    """Return a template with the groups of a match, as Go's regexp.Expand does: an unknown group is empty."""

    def group(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name = found["plain"] or found["braced"]
        if name.isdigit() and int(name) > pattern.groups:
            return ""
        try:
            value: bytes | None = match.group(int(name) if name.isdigit() else name)
        except (IndexError, KeyError):
            return ""
        return (value or b"").decode(errors="surrogateescape")

    return _REFERENCE.sub(group, template).encode(errors="surrogateescape")


def _no_group(reference: str) -> str:
    number = re.match(r"\d+", reference)
    hint = f": write ${{{number[0]}}} where letters follow a number" if number and number[0] != reference else ""
    return f"`expect` has no group {reference!r}{hint or '; a single $ is written as $$'}"
