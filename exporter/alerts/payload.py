"""A delivery of Alertmanager's and its alerts, each taken or told why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from exporter.alerts import document, labelsets, texts, times
from exporter.alerts.alert import Alert, Delivery, PayloadError, Quarantined, UnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = "4"
MOST_ALERTS: Final = 10_000
"""Alerts of one delivery."""

LONGEST_TEXT: Final = 4096
"""Characters of the group's key and the receiver: longer ones are cut."""

LONGEST_URL: Final = 2000
MOST_TRUNCATED: Final = 1_000_000_000
"""More than any group has: what is beyond is no count."""

_FINGERPRINT: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_URL: Final = re.compile(r"https?://[^\s\"'<>\\`]+", re.IGNORECASE)


def read(body: bytes, now: float) -> Delivery:
    """Return what a request delivers; PayloadError when the whole of it cannot be read."""
    payload = document.read(body)
    if type(payload) is not dict:
        raise PayloadError(
            400, "not_an_object", "the body is not an object of JSON: send Alertmanager's webhook payload"
        )
    if payload.get("version") != VERSION:
        sentence = f'the body is not of version "{VERSION}" of Alertmanager\'s webhook payload'
        raise PayloadError(400, "unsupported_version", sentence)
    found = payload.get("alerts")
    if type(found) is not list:
        raise PayloadError(400, "missing_alerts", "the body has no list of alerts")
    if len(found) > MOST_ALERTS:
        sentence = f"the body has {len(found):,} alerts, more than {MOST_ALERTS:,}: set max_alerts in Alertmanager"
        raise PayloadError(413, "too_many_alerts", sentence)
    alerts, quarantined = _sorted_out(found, now)
    return Delivery(
        receiver=_text(payload.get("receiver")),
        group_key=_text(payload.get("groupKey")),
        alerts=alerts,
        quarantined=quarantined,
        truncated=_count(payload.get("truncatedAlerts")),
        external_url=_url(payload.get("externalURL")),
        group_labels=_group_labels(payload.get("groupLabels")),
    )


class _Known:
    """What a delivery said before: the alerts of one group often began together and come from one rule."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._times: dict[str, float | None] = {}
        self._urls: dict[str, str] = {}

    def seconds(self, found: Any) -> float | None:
        """Return a time as `times.seconds` does."""
        if type(found) is not str:
            return times.seconds(found, self.now)
        if found not in self._times:
            self._times[found] = times.seconds(found, self.now)
        return self._times[found]

    def url(self, found: Any) -> str:
        """Return a link that a person may follow, or nothing."""
        if type(found) is not str:
            return ""
        if (url := self._urls.get(found)) is None:
            url = self._urls[found] = _url(found)
        return url


def _sorted_out(found: list[Any], now: float) -> tuple[tuple[Alert, ...], tuple[Quarantined, ...]]:
    alerts = []
    quarantined = []
    known = _Known(now)
    for position, one in enumerate(found):
        try:
            alerts.append(_alert(one, known))
        except UnfitError as error:
            quarantined.append(Quarantined(position, error.word, f"alert {position + 1} {error.sentence}"))
    return tuple(alerts), tuple(quarantined)


def _alert(found: Any, known: _Known) -> Alert:
    if type(found) is not dict:
        raise UnfitError("not_an_object", "is not an object")
    status = found.get("status")
    if status not in ("firing", "resolved"):
        raise UnfitError("bad_status", "has a status that is neither firing nor resolved")
    labels = labelsets.labels_of(found.get("labels"))
    fingerprint = found.get("fingerprint")
    if type(fingerprint) is not str or _FINGERPRINT.fullmatch(fingerprint) is None:
        fingerprint = labelsets.digest(labels)
    starts_at, ends_at = _begin_and_end(found, known)
    annotations = labelsets.annotations_of(found.get("annotations"))
    return Alert(fingerprint, status, labels, annotations, starts_at, ends_at, known.url(found.get("generatorURL")))


def _begin_and_end(found: Mapping[str, Any], known: _Known) -> tuple[float, float | None]:
    """Return when an alert began, and when it ended if it has.

    Of one that fires the end is of no interest. One that is resolved may have no begin: it began by its end.
    """
    field = "startsAt"
    try:
        starts_at = known.seconds(found.get("startsAt"))
        if found["status"] == "firing":
            if starts_at is None:
                raise times.TimeError("is missing")  # noqa: TRY301 -- one place words what is wrong with a time
            return starts_at, None
        field = "endsAt"
        ends_at = known.seconds(found.get("endsAt"))
    except times.TimeError as error:
        raise UnfitError("bad_time", f"has a {field} that {error}") from None
    if starts_at is None:
        starts_at = known.now if ends_at is None else ends_at
    return starts_at, ends_at


def _text(found: Any) -> str:
    return texts.label(texts.cut(found, LONGEST_TEXT)) if type(found) is str else ""


def _url(found: Any) -> str:
    if type(found) is not str or not found or len(found) > LONGEST_URL or not found.isprintable():
        return ""
    url = texts.label(found)
    return url if len(url) <= LONGEST_URL and _URL.fullmatch(url) else ""


def _count(found: Any) -> int:
    return found if type(found) is int and 0 <= found <= MOST_TRUNCATED else 0


def _group_labels(found: Any) -> dict[str, str]:
    try:
        return labelsets.labels_of(found)
    except UnfitError:
        return {}
