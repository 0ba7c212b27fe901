"""Deliveries as Alertmanager sends them, with what a test changes in them."""

from __future__ import annotations

import json

from exporter import alerts

NOW = 1_795_694_400.0  # 2026-11-26T12:00:00Z


def alert(**changes):
    """Return one alert that fires, as a mapping for JSON; a change to ... takes the field out."""
    fields = {
        "status": "firing",
        "labels": {"alertname": "UserSyncFailed", "user_id": "42"},
        "annotations": {"summary": "The sync of user 42 failed."},
        "startsAt": "2026-11-26T11:59:30.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": "0123456789abcdef",
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not ...}


def delivery(*several, **changes):
    """Return the body of a request with these alerts; a change to ... takes the field out."""
    fields = {
        "version": "4",
        "groupKey": '{}:{alertname="UserSyncFailed"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "watchbridge",
        "groupLabels": {"alertname": "UserSyncFailed"},
        "commonLabels": {"alertname": "UserSyncFailed"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(several),
    }
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def outcome(body):
    """Return what is read of a body, or the word for which it is refused."""
    try:
        return alerts.parse(body, NOW)
    except alerts.PayloadError as refusal:
        return refusal.word


def parsed(*several, **changes):
    """Return what is read of a delivery."""
    return alerts.parse(delivery(*several, **changes), NOW)


def taken(**changes):
    """Return the one alert of a delivery, as it was taken."""
    read = parsed(alert(**changes))
    assert read.quarantined == ()
    [one] = read.alerts
    return one


def refused(**changes):
    """Return the word for which the one alert of a delivery is quarantined."""
    read = parsed(alert(**changes))
    assert read.alerts == ()
    [one] = read.quarantined
    assert one.position == 0
    assert one.word in alerts.WORDS
    assert one.sentence.startswith("alert 1 ")
    return one.word
