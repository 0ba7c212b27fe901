"""From one module of blackbox_exporter to a choice of one of our kinds that means the same.

Where its defaults differ from ours, they are kept: redirects are followed, any 2xx is a success, a body is not read as
a health document, IPv6 comes first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from exporter.blackbox import options as theirs
from exporter.blackbox.quantities import bytes_of, seconds_of
from exporter.config import Configuration, files
from exporter.config.building import hidden_of
from exporter.config.options import Choice, Duration, Size
from exporter.config.secrets import looks_secret
from exporter.kinds import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.config.mistakes import Path

UNTIMED: Final = 120.0
"""Seconds that a module without a timeout has: blackbox_exporter's, when Prometheus does not say."""
SHORTEST: Final = 0.05
LONGEST: Final = 3600.0
"""Seconds between which a timeout of our own configuration lies."""

_PAYLOAD: Final = len("Prometheus Blackbox Exporter")
_FILE_SIZE: Final = 8192
_UNWRITABLE: Final = "a secret header cannot be written here: leave the module in this file, with probe_modules_file"
_HTTP_1: Final = frozenset({"HTTP/1.0", "HTTP/1.1"})

# The first step of a path in our options, and the key of blackbox_exporter that it came from.
_THEIR_WORDS: Final = {
    "valid_http_versions": "valid_http_versions",
    "body_matches": "fail_if_body_not_matches_regexp",
    "body_not_matches": "fail_if_body_matches_regexp",
    "header_matches": "fail_if_header_not_matches",
    "header_not_matches": "fail_if_header_matches",
    "proxy": "proxy_url",
    "ip_protocol": "preferred_ip_protocol",
    "source_ip": "source_ip_address",
    "query": "query_name",
    "record": "query_type",
    "validate_answer": "validate_answer_rrs",
    "validate_authority": "validate_authority_rrs",
    "validate_additional": "validate_additional_rrs",
    "tls": "tls_config",
}


@dataclasses.dataclass(slots=True)
class Translated:
    """What became of a module: a choice, or what is wrong with it, or what is not done here.

    `unwritable` is what our own configuration cannot hold without showing a secret; `secrets` are those of headers.
    """

    choice: Choice | None = None
    mistakes: list[tuple[Path, str]] = dataclasses.field(default_factory=list)
    refused: list[tuple[Path, str]] = dataclasses.field(default_factory=list)
    unwritable: list[tuple[Path, str]] = dataclasses.field(default_factory=list)
    secrets: set[str] = dataclasses.field(default_factory=set)

    def hide(self, path: Path, secret: str) -> str:
        """Take note of a secret that becomes a header, and return it."""
        self.unwritable.append((path, _UNWRITABLE))
        self.secrets.add(secret)
        return secret


def _target(word: str) -> str:
    """Return what stands for the target of a kind until a request names one."""
    placeholder: str = load("probes", word).TARGET[1]
    return placeholder


def translated(module: theirs.Module) -> Translated:
    """Return what becomes of a module whose prober is one of ours."""
    result = Translated()
    make, word = _MAKERS[module.prober], module.prober
    try:
        made = make(getattr(module, word), result)
    except ValueError as error:
        result.mistakes.append(((word,), str(error)))
        return result
    result.secrets.update(hidden_of(made))
    for path, sentence in _problems(made, ()):
        first, rest = (path[0], path[1:]) if path else ("", ())
        steps = (_THEIR_WORDS.get(str(first), first), *rest) if path else ()
        result.mistakes.append(((word, *steps), sentence))
    from exporter.services.options import ModuleTiming  # noqa: PLC0415 -- it stands beside options that read a file

    seconds = seconds_of(module.timeout) if module.timeout else 0.0
    timeout = min(max(seconds, SHORTEST), LONGEST) if seconds else UNTIMED
    result.choice = Choice(word, made, ModuleTiming(timeout=Duration(timeout)))
    return result


def _http(http: theirs.Http | None, result: Translated) -> Any:
    http = http or theirs.Http()
    kind = load("probes", "http")
    _check(http, result)
    return kind.options.Options(
        url=_target("http"),
        method=http.method or "GET",
        headers=_headers(http, result),
        body=http.body or None,
        body_file=http.body_file,
        valid_status_codes=tuple(str(code) for code in http.valid_status_codes) or ("2xx",),
        valid_http_versions=http.valid_http_versions,
        body_matches=http.fail_if_body_not_matches_regexp,
        body_not_matches=http.fail_if_body_matches_regexp,
        header_matches=_matches(kind.options.HeaderCheck, http.fail_if_header_not_matches),
        header_not_matches=_matches(kind.options.HeaderCheck, http.fail_if_header_matches),
        follow_redirects=http.follow_redirects if http.no_follow_redirects is None else not http.no_follow_redirects,
        compression=http.compression or None,
        require_tls=True if http.fail_if_not_ssl else False if http.fail_if_ssl else None,
        proxy=http.proxy_url,
        ip_protocol=http.preferred_ip_protocol,
        ip_fallback=http.ip_protocol_fallback,
        tls=_tls(http.tls_config),
        health=False,
        **_credentials(kind, http, result),
        **_limit(http.body_size_limit),
    )


def _check(http: theirs.Http, result: Translated) -> None:
    """Tell what contradicts itself, and the versions that nothing here speaks."""
    if http.fail_if_ssl and http.fail_if_not_ssl:
        result.mistakes.append((("http", "fail_if_ssl"), "fail_if_ssl and fail_if_not_ssl fail every probe: keep one"))
    if http.body and http.body_file is not None:
        result.mistakes.append((("http", "body_file"), "give body or body_file, not both"))
    if http.valid_http_versions and not _HTTP_1 & set(http.valid_http_versions):
        sentence = "HTTP/2 and HTTP/3 are not carried over: probes speak HTTP/1.1, which is not in this list"
        result.refused.append((("http", "valid_http_versions"), sentence))


def _headers(http: theirs.Http, result: Translated) -> dict[str, str]:
    headers = dict(http.headers)
    for name, value in headers.items():
        if looks_secret(name, value):
            result.hide(("http", "headers", name), value)
    for name, given in http.http_headers.items():
        path = ("http", "http_headers", name)
        found = [*given.values, *(result.hide((*path, "secrets"), one.reveal()) for one in given.secrets)]
        found += [result.hide((*path, "files"), _file(one)) for one in given.files]
        if found:
            headers[name] = found[-1]
    words = http.authorization
    if words is not None and words.credentials is not None and not _is_bearer(words):
        secret = words.credentials.reveal()
        headers["Authorization"] = f"{words.type} {result.hide(('http', 'authorization', 'type'), secret)}"
    return headers


def _is_bearer(words: theirs.Authorization) -> bool:
    return words.type.strip().lower() == "bearer"


def _matches(check: Callable[..., Any], found: tuple[theirs.HeaderMatch, ...]) -> tuple[Any, ...]:
    return tuple(check(header=one.header, regexp=one.regexp, allow_missing=one.allow_missing) for one in found)


def _credentials(kind: Any, http: theirs.Http, result: Translated) -> dict[str, Any]:
    given = [word for word in ("basic_auth", "bearer_token", "authorization") if getattr(http, word) is not None]
    if len(given) > 1:
        result.mistakes.append((("http", given[1]), f"give '{given[0]}' or '{given[1]}', not both"))
        return {}
    if http.basic_auth is not None:
        user = http.basic_auth.username or ""
        if http.basic_auth.username_file is not None:
            user = _file(http.basic_auth.username_file)
        return {"basic_auth": kind.options.BasicAuth(username=user, password=http.basic_auth.password)}
    if http.authorization is not None:
        return {"bearer_token": http.authorization.credentials} if _is_bearer(http.authorization) else {}
    return {"bearer_token": http.bearer_token}


def _file(path: Any) -> str:
    try:
        return files.text(files.read(path, _FILE_SIZE).data).strip()
    except ValueError as error:
        raise ValueError(f"the file {str(path)!r} {error}") from error


def _limit(limit: str | int) -> dict[str, Any]:
    count = limit if isinstance(limit, int) else bytes_of(limit)
    return {"body_size_limit": Size(count)} if count > 0 else {}


def _tcp(tcp: theirs.Tcp | None, _: Translated) -> Any:
    tcp = tcp or theirs.Tcp()
    kind = load("probes", "tcp")
    has_tls = tcp.tls or any(one.starttls for one in tcp.query_response)
    return kind.options.Options(
        address=_target("tcp"),
        tls=tcp.tls,
        tls_config=_tls(tcp.tls_config) if has_tls else None,
        ip_protocol=tcp.preferred_ip_protocol,
        ip_fallback=tcp.ip_protocol_fallback,
        source_ip=tcp.source_ip_address,
        query_response=tuple(_exchange(kind, one) for one in tcp.query_response),
    )


def _exchange(kind: Any, one: theirs.Exchange) -> Any:
    if one.expect is not None and one.expect_bytes:
        raise ValueError("give 'expect' or 'expect_bytes', not both")
    return kind.options.QueryResponse(
        expect=one.expect,
        expect_bytes=one.expect_bytes or None,
        labels=tuple(kind.options.ExpectLabel(name=label.name, value=label.value) for label in one.labels),
        send=one.send or None,
        starttls=one.starttls,
    )


def _dns(dns: theirs.Dns | None, _: Translated) -> Any:
    if dns is None:
        raise ValueError("the key 'query_name' is missing")
    kind = load("probes", "dns")
    checks = {
        "validate_answer": dns.validate_answer_rrs,
        "validate_authority": dns.validate_authority_rrs,
        "validate_additional": dns.validate_additional_rrs,
    }
    given = {word: _records(kind, found) for word, found in checks.items() if found is not None}
    if dns.dns_over_tls and dns.tls_config is not None:
        given["tls_config"] = _tls(dns.tls_config)
    return kind.options.Options(
        server=_target("dns"),
        query=dns.query_name,
        record=dns.query_type.upper(),
        query_class=dns.query_class.upper(),
        transport=dns.transport_protocol,
        recursion=dns.recursion_desired,
        valid_rcodes=dns.valid_rcodes or ("NOERROR",),
        ip_protocol=dns.preferred_ip_protocol,
        ip_fallback=dns.ip_protocol_fallback,
        source_ip=dns.source_ip_address,
        dns_over_tls=dns.dns_over_tls,
        **given,
    )


def _records(kind: Any, found: theirs.Records) -> Any:
    return kind.options.RecordChecks(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})


def _icmp(icmp: theirs.Icmp | None, _: Translated) -> Any:
    icmp = icmp or theirs.Icmp()
    return load("probes", "icmp").Options(
        address=_target("icmp"),
        ip_protocol=icmp.preferred_ip_protocol,
        ip_fallback=icmp.ip_protocol_fallback,
        source_ip=icmp.source_ip_address,
        payload_size=icmp.payload_size or _PAYLOAD,
        dont_fragment=icmp.dont_fragment,
        ttl=icmp.ttl or None,
    )


_MAKERS: Final[dict[str, Callable[[Any, Translated], Any]]] = {
    "http": _http,
    "tcp": _tcp,
    "dns": _dns,
    "icmp": _icmp,
}


def _tls(tls: theirs.Tls | None) -> Any:
    from exporter.wire.tls import TlsOptions  # noqa: PLC0415 -- only who has TLS needs it

    if tls is None or tls == theirs.Tls():
        return None
    return TlsOptions(**{field.name: getattr(tls, field.name) for field in dataclasses.fields(tls)})


def _problems(made: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield what options say of themselves, and those inside them."""
    if dataclasses.is_dataclass(made):
        ask = getattr(made, "problems", None)
        for steps, sentence in ask(Configuration()) if callable(ask) else ():
            yield (*path, *steps), sentence
        for field in dataclasses.fields(made):
            yield from _problems(getattr(made, field.name), (*path, field.name))
    elif isinstance(made, tuple):
        for index, one in enumerate(made):
            yield from _problems(one, (*path, index))
    elif isinstance(made, Mapping):
        for word, one in made.items():
            yield from _problems(one, (*path, word))
