"""The `modules:` of blackbox_exporter's file, in its own words and with its own defaults (its CONFIGURATION.md).

Only what is carried over stands here; what is not has its sentence in `exporter.blackbox.refusals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from exporter.config.options import Secret, option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Protocol = Literal["ip4", "ip6"]
Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]

_GO_DURATION = r"0|(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h))+"
"""What Go's time.ParseDuration takes, without a sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """`tls_config`."""

    insecure_skip_verify: bool = option(False, help="Take any certificate.")  # noqa: FBT003 - a default
    ca_file: Path | None = option(None, help="Authorities to trust instead of the system's.")
    cert_file: Path | None = option(None, help="A client certificate.")
    key_file: Path | None = option(None, help="Its key.")
    server_name: str | None = option(None, help="The name to verify.", minimum=1)
    min_version: Version | None = option(None, help="The lowest version.")
    max_version: Version | None = option(None, help="The highest version.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """`basic_auth`."""

    username: str | None = option(None, help="The user.")
    username_file: Path | None = option(None, help="A file that holds the user.")
    password: Secret | None = option(None, help="The password.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """`authorization`."""

    type: str = option("Bearer", help="The word before the credentials.")
    credentials: Secret | None = option(None, help="What stands behind it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMatch:
    """An entry of `fail_if_header_matches` and `fail_if_header_not_matches`."""

    header: str = option(help="The header.", minimum=1)
    regexp: str = option(help="The expression.", minimum=1)
    allow_missing: bool = option(False, help="Whether the header may be absent.")  # noqa: FBT003 - a default


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderValues:
    """An entry of `http_headers`: of all its values the last one counts, files after secrets after values."""

    values: tuple[str, ...] = option((), help="Values.")
    secrets: tuple[Secret, ...] = option((), help="Values that must not be shown.")
    files: tuple[Path, ...] = option((), help="Files that hold values that must not be shown.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """`http`."""

    valid_status_codes: tuple[int, ...] = option((), help="Codes that are a success; 2xx when left out.")
    valid_http_versions: tuple[str, ...] = option((), help="Versions that are a success.")
    preferred_ip_protocol: Protocol = option("ip6", help="Which addresses are preferred.")
    ip_protocol_fallback: bool = option(True, help="Whether the others will do.")  # noqa: FBT003 - a default
    skip_resolve_phase_with_proxy: bool = option(False, help="Leave names to the proxy.")  # noqa: FBT003 - a default
    no_follow_redirects: bool | None = option(None, help="The old word for `follow_redirects: false`.")
    follow_redirects: bool = option(True, help="Whether redirects are followed.")  # noqa: FBT003 - a default
    fail_if_ssl: bool = option(False, help="Fail over TLS.")  # noqa: FBT003 - a default
    fail_if_not_ssl: bool = option(False, help="Fail without TLS.")  # noqa: FBT003 - a default
    method: str = option("GET", help="The method.")
    headers: Mapping[str, str] = option(default_factory=dict, help="Headers to send.")
    http_headers: Mapping[str, HeaderValues] = option(default_factory=dict, help="Headers to send.")
    body: str = option("", help="The body to send.")
    body_file: Path | None = option(None, help="A file that holds the body to send.")
    fail_if_body_matches_regexp: tuple[str, ...] = option((), help="Fail when one matches.")
    fail_if_body_not_matches_regexp: tuple[str, ...] = option((), help="Fail when one does not match.")
    fail_if_header_matches: tuple[HeaderMatch, ...] = option((), help="Fail when one matches.")
    fail_if_header_not_matches: tuple[HeaderMatch, ...] = option((), help="Fail when one does not match.")
    compression: Literal["gzip", "deflate", "identity", ""] = option("", help="How the answer is compressed.")
    body_size_limit: str | int = option(0, help="The longest body that is a success; 0 for any.")
    enable_http2: bool = option(True, help="Not used: probes speak HTTP/1.1.")  # noqa: FBT003 - a default
    tls_config: Tls | None = option(None, help="How TLS is done.")
    basic_auth: BasicAuth | None = option(None, help="A user and a password.")
    bearer_token: Secret | None = option(None, help="A bearer token.")
    authorization: Authorization | None = option(None, help="Other credentials.")
    proxy_url: str | None = option(None, help="The proxy.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """An entry of `labels`."""

    name: str = option(help="The label.", minimum=1)
    value: str = option("", help="Its value; may use ${1}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An entry of `query_response`."""

    expect: str | None = option(None, help="An expression that a line must match.")
    expect_bytes: str | None = option(None, help="Bytes that must come.")
    labels: tuple[Label, ...] = option((), help="Labels of probe_expect_info.")
    send: str | None = option(None, help="A line to send.")
    starttls: bool = option(False, help="Begin TLS.")  # noqa: FBT003 - a default


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """`tcp`."""

    preferred_ip_protocol: Protocol = option("ip6", help="Which addresses are preferred.")
    ip_protocol_fallback: bool = option(True, help="Whether the others will do.")  # noqa: FBT003 - a default
    source_ip_address: str | None = option(None, help="The address to come from.", minimum=1)
    query_response: tuple[Exchange, ...] = option((), help="What is said.")
    tls: bool = option(False, help="TLS from the start.")  # noqa: FBT003 - a default
    tls_config: Tls | None = option(None, help="How TLS is done.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """`validate_answer_rrs` and its like."""

    fail_if_matches_regexp: tuple[str, ...] = option((), help="Fail when a record matches one.")
    fail_if_all_match_regexp: tuple[str, ...] = option((), help="Fail when every record matches one.")
    fail_if_not_matches_regexp: tuple[str, ...] = option((), help="Fail when a record does not match one.")
    fail_if_none_matches_regexp: tuple[str, ...] = option((), help="Fail when no record matches one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """`dns`."""

    preferred_ip_protocol: Protocol = option("ip6", help="Which addresses of the server are preferred.")
    ip_protocol_fallback: bool = option(True, help="Whether the others will do.")  # noqa: FBT003 - a default
    source_ip_address: str | None = option(None, help="The address to come from.", minimum=1)
    transport_protocol: Literal["udp", "tcp"] = option("udp", help="How the query travels.")
    dns_over_tls: bool = option(False, help="Over TLS.")  # noqa: FBT003 - a default
    tls_config: Tls | None = option(None, help="How TLS is done.")
    query_name: str = option(help="The name to ask for.", minimum=1)
    query_type: str = option("ANY", help="The type to ask for.", minimum=1)
    query_class: str = option("IN", help="The class to ask for.", minimum=1)
    recursion_desired: bool = option(True, help="Ask the server to look further.")  # noqa: FBT003 - a default
    valid_rcodes: tuple[str, ...] = option((), help="Codes that are a success; NOERROR when left out.")
    validate_answer_rrs: Records | None = option(None, help="What the answers must be.")
    validate_authority_rrs: Records | None = option(None, help="What the authorities must be.")
    validate_additional_rrs: Records | None = option(None, help="What the additional records must be.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Icmp:
    """`icmp`."""

    preferred_ip_protocol: Protocol = option("ip6", help="Which addresses are preferred.")
    ip_protocol_fallback: bool = option(True, help="Whether the others will do.")  # noqa: FBT003 - a default
    source_ip_address: str | None = option(None, help="The address to come from.", minimum=1)
    payload_size: int = option(0, help="Bytes to send; 28 when left out.", minimum=0, maximum=65_507)
    dont_fragment: bool = option(False, help="Forbid fragments.")  # noqa: FBT003 - a default
    ttl: int = option(64, help="Hops that a packet may take.", minimum=0, maximum=255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module: a prober and what it is told. The parts of other probers are read and not used."""

    prober: Literal["http", "tcp", "dns", "icmp", "grpc", "unix", "websocket"] = option(help="The prober.")
    timeout: str | None = option(None, help="How long a probe may take.", pattern=_GO_DURATION)
    http: Http | None = option(None, help="What http is told.")
    tcp: Tcp | None = option(None, help="What tcp is told.")
    dns: Dns | None = option(None, help="What dns is told.")
    icmp: Icmp | None = option(None, help="What icmp is told.")
