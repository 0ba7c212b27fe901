"""Questions and answers of DNS: made, read and judged by dnspython; nothing here waits for anybody."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from exporter import patterns
from exporter.searching import effort

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.probes.dns.options import Options, RecordChecks

HEADER: Final = 12
"""Bytes of a message's header (RFC 1035 4.1.1)."""
QUOTED: Final = 120
"""Characters of records that a reason quotes."""

_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_WHOLE_ZONE: Final = {dns.rdatatype.AXFR, dns.rdatatype.IXFR}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: the records of each section as lines of a zone file, and the data of those asked for."""

    rcode: str
    answer: tuple[str, ...]
    authority: tuple[str, ...]
    additional: tuple[str, ...]
    data: tuple[str, ...]
    serial: int | None


class NoAnswerError(Exception):
    """What came is no answer to the question; the message says why."""


@lru_cache(maxsize=16_384)
def _question(query: str, record: str, query_class: str, recursion: bool) -> bytes:  # noqa: FBT001 -- a key of the cache
    asked = dns.message.make_query(
        _name(query), dns.rdatatype.from_text(record), dns.rdataclass.from_text(query_class), id=0
    )
    asked.flags = dns.flags.Flag.RD if recursion else dns.flags.Flag(0)
    return asked.to_wire()


def question(options: Options, number: int) -> bytes:
    """Return the message that asks, with this number of 16 bits as its id."""
    asked = _question(options.query, options.record, options.query_class, options.recursion)
    return struct.pack("!H", number) + asked[2:]


def is_answer(data: bytes, number: int) -> bool:
    """Return whether bytes look like an answer to the question of this number."""
    return len(data) >= HEADER and struct.unpack_from("!H", data)[0] == number and bool(_flags(data) & _RESPONSE)


def is_truncated(data: bytes) -> bool:
    """Return whether an answer was cut off, so that the whole is to be had over TCP."""
    return bool(_flags(data) & _TRUNCATED)


def read(options: Options, asked: bytes, data: bytes) -> Answer:
    """Return the answer that bytes are; NoAnswerError when they are none, or one to another question."""
    try:
        found = dns.message.from_wire(data, one_rr_per_rrset=True)
        if not dns.message.from_wire(asked).is_response(found):
            raise NoAnswerError("answered another question")
    except (dns.exception.DNSException, ValueError, struct.error) as error:
        raise NoAnswerError(f"answered what cannot be read ({type(error).__name__})") from error
    wanted = dns.rdatatype.from_text(options.record)
    records = [record for rrset in found.answer for record in rrset]
    serials = [record.serial for record in records if record.rdtype == dns.rdatatype.SOA]
    return Answer(
        rcode=dns.rcode.to_text(found.rcode()),
        answer=_lines(found.answer),
        authority=_lines(found.authority),
        # What EDNS adds is a record of this section as well.
        additional=(*_lines(found.additional), *(["; EDNS"] if found.opt is not None else [])),
        data=tuple(
            record.to_text() for record in records if wanted in {record.rdtype, dns.rdatatype.ANY} or _is_alias(record)
        ),
        serial=serials[-1] if serials and wanted == dns.rdatatype.SOA else None,
    )


def failures(options: Options, answer: Answer) -> Iterator[str]:
    """Yield a sentence for each thing that is not as wanted; the first is the one to tell."""
    if rcode_of(answer.rcode) not in {rcode_of(word) for word in options.valid_rcodes}:
        yield f"the response code is {answer.rcode}, wanted {' or '.join(options.valid_rcodes)}"
    found = {normal(text) for text in answer.data}
    for wanted in options.answers:
        if normal(wanted) not in found:
            yield f"the answer {wanted[:QUOTED]!r} is missing: there {_listed(answer.data)}"
    for section in ("answer", "authority", "additional"):
        checks: RecordChecks | None = getattr(options, f"validate_{section}")
        if checks is not None and (sentence := _failed(checks, getattr(answer, section))):
            yield f"the {section} section {sentence}"


def steps(options: Options, answer: Answer) -> int:
    """Return how many steps looking for the patterns takes at worst."""
    total = 0
    for section in ("answer", "authority", "additional"):
        checks: RecordChecks | None = getattr(options, f"validate_{section}")
        if checks is not None:
            texts = (text for key in checks.__dataclass_fields__ for text in getattr(checks, key))
            total += effort(texts) * sum(map(len, getattr(answer, section)))
    return total


def _failed(checks: RecordChecks, lines: tuple[str, ...]) -> str | None:
    """Return how a section fails; blackbox_exporter's rules, in its order (prober/dns.go)."""
    if not lines and (checks.fail_if_not_matches_regexp or checks.fail_if_none_matches_regexp):
        return "has no record, and one must match"
    encoded = [line.encode() for line in lines]
    for line in encoded:
        for text in checks.fail_if_matches_regexp:
            if _matches(text, line):
                return f"has a record that matches {text!r}"
        for text in checks.fail_if_not_matches_regexp:
            if not _matches(text, line):
                return f"has a record that does not match {text!r}"
    return _failed_as_a_whole(checks, encoded)


def _failed_as_a_whole(checks: RecordChecks, encoded: list[bytes]) -> str | None:
    for text in checks.fail_if_all_match_regexp:
        if not all(_matches(text, line) for line in encoded):
            return f"has a record that does not match {text!r}"
    wanted = checks.fail_if_none_matches_regexp
    if wanted and not any(_matches(text, line) for text in wanted for line in encoded):
        return f"has no record that matches {' or '.join(map(repr, wanted))}"
    return None


def _matches(text: str, line: bytes) -> bool:
    return patterns.compiled(text).search(line) is not None


def normal(text: str) -> str:
    """Return an answer as it is compared: without case, last dots, quotation marks, and other forms of an address."""
    bare = text.strip().casefold()
    if bare.startswith('"') and bare.endswith('"') and bare.count('"') == 2:  # noqa: PLR2004 -- its own two
        return bare[1:-1]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return " ".join(word.removesuffix(".") or "." for word in bare.split())


def rcode_of(word: str) -> int | None:
    """Return the number of a response code; None for a word that is none."""
    try:
        return int(dns.rcode.from_text(word))
    except (dns.exception.DNSException, ValueError):
        return None


def word_problems(options: Options) -> Iterator[tuple[str, str]]:
    """Yield the key and a sentence for each word that DNS does not know."""
    try:
        _name(options.query)
    except (dns.exception.DNSException, ValueError):
        yield "query", f"{options.query[:QUOTED]!r} is no name: labels of 1 to 63 characters with dots between them"
    try:
        if dns.rdatatype.from_text(options.record) in _WHOLE_ZONE:
            yield "record", f"{options.record} asks for a whole zone, which one answer cannot hold: ask for SOA"
    except (dns.exception.DNSException, ValueError):
        yield "record", f"there is no type of record {options.record[:QUOTED]!r}: write one such as A, AAAA or MX"
    try:
        dns.rdataclass.from_text(options.query_class)
    except (dns.exception.DNSException, ValueError):
        yield "query_class", f"there is no class {options.query_class[:QUOTED]!r}: leave it out to ask in IN"


def told(answer: Answer) -> str:
    """Return in a few words what was answered."""
    return f"{answer.rcode}: there {_listed(answer.data)}" if answer.data else f"{answer.rcode} and no such record"


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(text, idna_codec=dns.name.IDNA_2008_Practical if not text.isascii() else None)


def _flags(data: bytes) -> int:
    flags: int = struct.unpack_from("!H", data, 2)[0]
    return flags


def _is_alias(record: dns.rdata.Rdata) -> bool:
    return record.rdtype in {dns.rdatatype.CNAME, dns.rdatatype.DNAME}


def _lines(section: Iterable[dns.rrset.RRset]) -> tuple[str, ...]:
    """Return records as Go's miekg/dns writes them, with tabs: what blackbox_exporter's patterns are written for."""
    return tuple(
        f"{rrset.name}\t{rrset.ttl}\t{dns.rdataclass.to_text(rrset.rdclass)}\t{dns.rdatatype.to_text(rrset.rdtype)}\t{record}"
        for rrset in section
        for record in rrset
    )


def _listed(data: tuple[str, ...]) -> str:
    if not data:
        return "is none"
    # Sorted: many servers turn their records around from answer to answer, and the sentence should stay the same.
    text = ", ".join(sorted(data)[:20])
    shown = text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"
    return f"{'is' if len(data) == 1 else 'are'} {shown}"
