"""What the configuration says of a DNS probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import addresses, patterns
from exporter.addresses import Address
from exporter.config.options import option
from exporter.wire.tls import TlsOptions  # noqa: TC001 -- the loader reads the types of the fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Problem = tuple[tuple[str | int, ...], str]

MISSING: Final = "DNS needs the package dnspython: install it with pip install 'watchbridge[dns]'"
PORT: Final = 53
TLS_PORT: Final = 853
"""Of DNS over TLS (RFC 7858)."""

_CHECKS: Final = ("validate_answer", "validate_authority", "validate_additional")


def is_installed() -> bool:
    """Return whether the package that reads and writes messages is there."""
    return find_spec("dns") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChecks:
    """Regular expressions (RE2) over the records of a section, each as in a zone file: name, TTL, class, type, data."""

    fail_if_matches_regexp: tuple[str, ...] = option((), help="Down when a record matches one of these.")
    # The meaning of blackbox_exporter (prober/dns.go and its tests), whose name for it says the opposite.
    fail_if_all_match_regexp: tuple[str, ...] = option(
        (), help="Down when not every record matches every one of these: the name is blackbox_exporter's."
    )
    fail_if_not_matches_regexp: tuple[str, ...] = option(
        (), help="Down when a record does not match one of these, or there is no record."
    )
    fail_if_none_matches_regexp: tuple[str, ...] = option((), help="Down when no record matches any of these.")

    def problems(self, configuration: Any) -> Iterator[Problem]:
        """Yield what is no regular expression."""
        del configuration
        for key in self.__dataclass_fields__:
            for index, text in enumerate(getattr(self, key)):
                if sentence := patterns.problem(text):
                    yield (key, index), sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A question to a name server, and what it must answer."""

    server: str = option(
        help="The name server: a host, or host:port; the port is 53, or 853 with TLS.", example="192.0.2.53"
    )
    query: str = option(help="The name that is asked for.", example="www.example.org", maximum=1024)
    record: str = option("A", help="The type of record: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT, CAA or any other.")
    transport: Literal["udp", "tcp"] = option("udp", help="udp asks again over TCP where the answer is cut off.")
    recursion: bool = option(default=True, help="Ask the server to find the answer elsewhere where it has none.")
    valid_rcodes: tuple[str, ...] = option(("NOERROR",), help="Response codes that are right.", minimum=1)
    answers: tuple[str, ...] = option(
        (),
        help="Answers that must be there, as `dig +short` writes them; case and the last dot do not matter.",
        example=["192.0.2.1"],
    )
    validate_answer: RecordChecks | None = option(None, help="Checks of the records that answer.")
    validate_authority: RecordChecks | None = option(None, help="Checks of the records that name the authority.")
    validate_additional: RecordChecks | None = option(None, help="Checks of the additional records.")
    query_class: str = option("IN", help="The class of record.")
    ip_protocol: Literal["ip4", "ip6"] | None = option(
        None, help="Which addresses of the server's name are preferred; left out: in the order of the system."
    )
    ip_fallback: bool = option(
        default=True, help="Whether an address of the other protocol is taken where it has none."
    )
    dns_over_tls: bool = option(default=False, help="Ask over TLS, and so over TCP.")
    tls_config: TlsOptions | None = field(default=None, metadata={"help": "How TLS is spoken."})
    source_ip: str | None = option(None, help="The address of this host to ask from.", example="192.0.2.1")

    @property
    def address(self) -> Address:
        """Where the server is; ValueError says why that cannot be read."""
        return server_address(self.server, TLS_PORT if self.dns_over_tls else PORT)

    def problems(self, configuration: Any) -> Iterable[Problem]:
        """Yield what cannot be asked or contradicts itself."""
        del configuration
        try:
            _ = self.address
        except ValueError as error:
            yield ("server",), str(error)
        if self.source_ip is not None and not addresses.is_numeric(self.source_ip):
            yield ("source_ip",), f"{self.source_ip!r} is no IP address: write one of this host's, such as 192.0.2.1"
        if self.tls_config is not None and not self.dns_over_tls:
            yield ("tls_config",), "TLS is not spoken: set dns_over_tls to true, or leave this out"
        if not is_installed():
            yield (), MISSING
        else:
            yield from self._word_problems()

    def _word_problems(self) -> Iterator[Problem]:
        from exporter.probes.dns import messages  # noqa: PLC0415 -- loads dnspython, which few need

        for key, sentence in messages.word_problems(self):
            yield (key,), sentence
        for index, word in enumerate(self.valid_rcodes):
            if messages.rcode_of(word) is None:
                yield (
                    ("valid_rcodes", index),
                    f"there is no response code {word!r}: write one such as NOERROR or NXDOMAIN",
                )


def server_address(text: str, port: int) -> Address:
    """Return a server's address, with `port` where the text has none; ValueError says what is wrong with it."""
    if addresses.is_numeric(text):
        return Address(text, port)
    if text.endswith("]") or ":" not in text:
        return addresses.parsed(f"{text}:{port}")
    return addresses.parsed(text)
