"""An alert or a silence for each item, posted to Alertmanager: the `url` of the section `alertmanager`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import handover, placeholders
from exporter.config.options import Duration, option
from exporter.labels import encodable
from exporter.model import Done, GiveUp, Outcome, Plan
from exporter.outbound import requests, urls
from exporter.outbound.requests import Request
from exporter.placeholders import PlaceholderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.model import ActionParts, Item

    Told = tuple[tuple[str | int, ...], str]

AUTHOR: Final = "watchbridge"
"""Who made a silence, as Alertmanager shows it."""

_PATHS: Final = {"alert": "/api/v2/alerts", "silence": "/api/v2/silences"}
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is posted: an alert with its labels, or a silence with its matchers."""

    post: Literal["alert", "silence"] = option(help="What is posted.")
    labels: Mapping[str, str] = option(
        default_factory=dict,
        help="Labels of the alert, `alertname` among them; each value may be one whole {placeholder} as in the action "
        "`command`.",
        example={"alertname": "UserSyncFailed", "user": "{key}"},
    )
    annotations: Mapping[str, str] = option(
        default_factory=dict, help="Annotations of the alert; values as in `labels`.", example={"summary": "{reason}"}
    )
    resolve_after: Duration = option(
        Duration(300.0), help="When the alert ends by itself.", minimum=1, maximum=30 * _DAY
    )
    matchers: Mapping[str, str] = option(
        default_factory=dict,
        help="Labels and values that the silence is for, all of them; values as in `labels`.",
        example={"instance": "{instance}"},
    )
    duration: Duration = option(Duration(3600.0), help="How long the silence lasts.", minimum=1, maximum=30 * _DAY)
    comment: str = option("Made by Watchbridge", help="Why the silence is there.", minimum=1, maximum=1000)

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a missing URL, what has no meaning with `post`, and names that no label has."""
        where = configuration.alertmanager
        if where is None or where.url is None:
            yield (), "needs to know where Alertmanager is: set `alertmanager: {url: http://alertmanager:9093}`"
        elif told := urls.problem(where.url):
            yield (), f"`alertmanager.url` cannot be asked: {told}"
        yield from self._missing()
        yield from self._text_problems()

    def _text_problems(self) -> Iterator[Told]:
        for key in ("labels", "annotations", "matchers"):
            for name, value in getattr(self, key).items():
                if not _LABEL.fullmatch(name):
                    yield (key, name), "this is no name of a label: write letters, digits and underscores"
                elif not value:
                    yield (key, name), "an empty value is as none: write a text, or leave it out"
                elif told := placeholders.problem(value):
                    yield (key, name), told
        if told := placeholders.misplaced(self.comment):
            yield ("comment",), told

    def _missing(self) -> Iterator[Told]:
        if self.post == "alert" and "alertname" not in self.labels:
            yield ("labels",) if self.labels else (), "an alert has a name: add `alertname` to `labels`"
        if self.post == "silence" and not self.matchers:
            yield (), "a silence without matchers would silence everything: add `matchers`"
        others = ("matchers",) if self.post == "alert" else ("labels", "annotations")
        yield from (
            ((key,), f"has no meaning with `post: {self.post}`: leave it out") for key in others if getattr(self, key)
        )


def plan(options: Options, item: Item) -> Plan:
    """Return what is posted, but for its times; PlaceholderError says what cannot be filled in."""
    if options.post == "alert":
        labels, annotations = _filled(options.labels, item), _filled(options.annotations, item)
        details: dict[str, Any] = {"labels": labels, "annotations": annotations, "resolve_after": options.resolve_after}
        return Plan(f"post the alert {_shown(labels)} to Alertmanager", {"post": "alert", **details})
    matchers = _filled(options.matchers, item)
    details = {"matchers": matchers, "duration": options.duration, "comment": options.comment}
    return Plan(
        f"silence {_shown(matchers)} in Alertmanager for {options.duration:g} s", {"post": "silence", **details}
    )


def _filled(texts: Mapping[str, str], item: Item) -> dict[str, str]:
    facts = placeholders.facts(item)
    return {name: encodable(placeholders.filled(text, facts)) for name, text in texts.items()}


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()) + "}"


def _body(options: Options, item: Item, now: float) -> Any:
    """Return what Alertmanager's API (v2) takes."""
    if options.post == "alert":
        end = handover.moment(now + options.resolve_after)
        labels, annotations = _filled(options.labels, item), _filled(options.annotations, item)
        return [{"labels": labels, "annotations": annotations, "startsAt": handover.moment(now), "endsAt": end}]
    matchers = [
        {"name": name, "value": value, "isRegex": False, "isEqual": True}
        for name, value in _filled(options.matchers, item).items()
    ]
    return {
        "matchers": matchers,
        "startsAt": handover.moment(now),
        "endsAt": handover.moment(now + options.duration),
        "createdBy": AUTHOR,
        "comment": options.comment,
    }


async def act(options: Options, item: Item, parts: ActionParts, timeout: float) -> Outcome:
    """Post it once. A further attempt changes an alert and adds a silence of the same matchers: both are harmless."""
    from exporter.outbound.sending import sent  # noqa: PLC0415 - options must be cheap to load

    where = parts.alertmanager
    if where is None or where.url is None:
        return GiveUp("no Alertmanager is configured: set `alertmanager: {url: …}`")
    try:
        body = _body(options, item, parts.clock.time())
        url = urls.parse(where.url).joined(_PATHS[options.post])
    except (PlaceholderError, ValueError) as error:
        return GiveUp(str(error))
    request = Request(
        method="POST",
        url=url,
        headers=requests.authorization(where.basic_auth, where.api_token),
        body=handover.encoded(body),
        ca_file=where.ca_file,
    )
    return _told(await sent(request, parts, min(timeout, where.timeout)), options)


def _told(outcome: Outcome, options: Options) -> Outcome:
    """Say what was made, with the number of a silence."""
    if not isinstance(outcome, Done):
        return outcome
    if options.post == "alert":
        return replace(outcome, detail="Alertmanager took the alert")
    try:
        known = str(json.loads(outcome.output)["silenceID"])
    except (ValueError, KeyError, TypeError, RecursionError):
        known = ""
    named = f" {known}" if re.fullmatch(r"[0-9a-f-]{36}", known) else ""
    return replace(outcome, detail=f"Alertmanager took the silence{named} for {options.duration:g} s")
