"""What an HTTP probe shows beyond success and duration: blackbox_exporter's names and words (its prober/http.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

from exporter import probed
from exporter.model import Family

if TYPE_CHECKING:
    from exporter.model import Reading, Samples
    from exporter.wire.call import TlsFacts

PHASES: Final = ("resolve", "connect", "tls", "processing", "transfer")

STATUS_CODE: Final = Family("probe_http_status_code", "gauge", "Response HTTP status code")
CONTENT_LENGTH: Final = Family("probe_http_content_length", "gauge", "Length of http content response")
BODY_LENGTH: Final = Family("probe_http_uncompressed_body_length", "gauge", "Length of uncompressed response body")
REDIRECTS: Final = Family("probe_http_redirects", "gauge", "The number of redirects")
SSL: Final = Family("probe_http_ssl", "gauge", "Indicates if SSL was used for the final redirect")
VERSION: Final = Family("probe_http_version", "gauge", "Returns the version of HTTP of the probe response")
DURATION: Final = Family(
    "probe_http_duration_seconds",
    "gauge",
    "Duration of http request by phase, summed over all redirects",
    ("phase",),
)
LAST_MODIFIED: Final = Family(
    "probe_http_last_modified_timestamp_seconds",
    "gauge",
    "Returns the Last-Modified HTTP response header in unixtime",
)

FAMILIES: Final = (
    STATUS_CODE, CONTENT_LENGTH, BODY_LENGTH, REDIRECTS, SSL, VERSION, DURATION, LAST_MODIFIED,
    probed.FAILED_DUE_TO_REGEX, *probed.ADDRESS_FAMILIES, *probed.TLS_FAMILIES,
)  # fmt: skip

_TIME: Final = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?) ?(?P<unit>s|ms|us|µs)?", re.ASCII)
_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}


@dataclass(frozen=True, slots=True)
class Facts:
    """What came. Lengths are in bytes, `content_length` is -1 where none was announced; no answer: all 0.

    `last_modified` and `response_time` are header values as they were sent.
    """

    version: str = ""
    content_length: int = 0
    body_length: int = 0
    redirects: int = 0
    failed_due_to_regex: bool = False
    last_modified: str = ""
    response_time: str = ""
    address: str | None = None
    tls: TlsFacts | None = None


def response_seconds(text: str) -> float | None:
    """Return the seconds that an X-Response-Time such as 145ms, 0.145s or 145 (ms) tells; None for anything else."""
    found = _TIME.fullmatch(text.strip().lower())
    return None if found is None else float(found["number"]) * _UNITS[found["unit"] or "ms"]


def samples(reading: Reading) -> Samples:
    """Return what `/probe` shows of a reading beyond success and duration, in blackbox_exporter's names."""
    facts = reading.facts if isinstance(reading.facts, Facts) else Facts()
    found: Samples = {
        STATUS_CODE: {(): float(reading.status_code or 0)},
        CONTENT_LENGTH: {(): float(facts.content_length)},
        BODY_LENGTH: {(): float(facts.body_length)},
        REDIRECTS: {(): float(facts.redirects)},
        SSL: {(): float(facts.tls is not None)},
        VERSION: {(): float(facts.version or 0)},
        DURATION: {(phase,): reading.phases.get(phase, 0.0) for phase in PHASES},
        probed.FAILED_DUE_TO_REGEX: {(): float(facts.failed_due_to_regex)},
        **probed.of_address(facts.address, reading.phases.get("resolve", 0.0)),
    }
    if facts.tls is not None:
        found.update(probed.of_tls(facts.tls))
    if (modified := _timestamp(facts.last_modified)) is not None:
        found[LAST_MODIFIED] = {(): modified}
    return found


def _timestamp(text: str) -> float | None:
    if not text:
        return None
    # It brings 30 modules along and takes 15 ms to load (measured): only `/probe` needs it.
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 -- see above

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # The formats of HTTP are all of GMT, also where they do not say so (RFC 9110, section 5.6.7).
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
