"""What an answer is held against: code, version, TLS, header, body, health document. The worst of them is the state."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from exporter.patterns import compiled
from exporter.verdict import Verdict, of_body, of_code, worse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.probes.http.head import Head
    from exporter.probes.http.options import HeaderCheck, Options
    from exporter.probes.http.plans import Plan

_SHOWN = 80


class Answer(NamedTuple):
    """An answer: its head, its body as far as it was read, whether there was more of it, whether it came by TLS."""

    head: Head
    body: bytes
    cut: bool
    is_tls: bool


class Judgement(NamedTuple):
    """The verdict of all checks, that of the body as a health document, and whether a regular expression is why."""

    verdict: Verdict
    health: Verdict | None
    by_regex: bool


def judge(options: Options, plan: Plan, answer: Answer, explain: Callable[[str], None]) -> Judgement:
    """Return what an answer means. Each check that was made is explained."""
    code = answer.head.code
    verdict = of_code(code, options.expected_status_code) if plan.codes is None else _of_codes(code, plan.codes)
    verdicts = [verdict]
    by_regex = False
    if plan.has_checks:
        verdicts += _of_transport(options, answer)
        # A page of errors is not the page that the expressions were written for.
        if verdict.state != "down":
            failed = next(_of_expressions(options, answer, explain), None)
            by_regex = failed is not None
            verdicts += [failed] if failed else []
    health = None
    if options.health and answer.body:
        health = of_body(answer.body, answer.head.text(b"content-type"))
        verdicts += [health] if health else []
    for each in verdicts:
        explain(f"{each.state}: {each.reason}")
    return Judgement(verdict if len(verdicts) == 1 else worse(*verdicts), health, by_regex)


@lru_cache(maxsize=1024)
def named(code: int) -> str:
    """Return a status code with its usual words; not those that the server sent."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _of_codes(code: int, codes: frozenset[int]) -> Verdict:
    if code in codes:
        return Verdict("up", f"the answer is {named(code)}")
    return Verdict("down", f"the answer is {named(code)}, which is none of `valid_status_codes`", "status")


def _of_transport(options: Options, answer: Answer) -> Iterator[Verdict]:
    version = f"HTTP/{answer.head.version}"
    if options.valid_http_versions and version not in options.valid_http_versions:
        wanted = ", ".join(options.valid_http_versions)
        yield Verdict("down", f"the answer is {version}, not {wanted}", "protocol")
    if options.require_tls is not None and options.require_tls != answer.is_tls:
        told = "the answer came without TLS" if options.require_tls else "the answer came over TLS"
        yield Verdict("down", f"{told}, against `require_tls`", "tls")
    if options.body_size_limit is not None and answer.cut:
        yield Verdict("down", f"the body is longer than {options.body_size_limit} bytes", "body")


def _of_expressions(options: Options, answer: Answer, explain: Callable[[str], None]) -> Iterator[Verdict]:
    for check in options.header_not_matches:
        yield from _of_header(check, answer.head, wanted=False)
    for check in options.header_matches:
        yield from _of_header(check, answer.head, wanted=True)
    for text in options.body_not_matches:
        if compiled(text).search(answer.body):
            yield Verdict("down", f"the body matches {_cut(text)!r}", "body")
        explain(f"the body does not match {_cut(text)!r}")
    for text in options.body_matches:
        if not compiled(text).search(answer.body):
            told = f" in the {len(answer.body)} bytes that were read" if answer.cut else ""
            yield Verdict("down", f"the body does not match {_cut(text)!r}{told}", "body")
        explain(f"the body matches {_cut(text)!r}")


def _of_header(check: HeaderCheck, head: Head, *, wanted: bool) -> Iterator[Verdict]:
    values = head.values(check.header.lower().encode())
    if not values:
        if not check.allow_missing:
            yield Verdict("down", f"the answer has no header {check.header}", "answer")
        return
    pattern = compiled(check.regexp)
    if any(pattern.search(value) for value in values) != wanted:
        told = "does not match" if wanted else "matches"
        yield Verdict("down", f"the header {check.header} {told} {_cut(check.regexp)!r}", "answer")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
