"""A delivery of Alertmanager's: a bad alert is told and left out, all others are taken, and nothing is unbounded."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from alerts.deliveries import NOW, alert, delivery, outcome, parsed, refused, taken
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporter import alerts
from exporter.alerts import labelsets, payload

R = "\ufffd"


def labels(**others):
    return {"alertname": "UserSyncFailed", **others}


def test_the_name_of_an_alert_is_its_label():
    """Other senders may have none."""
    assert taken().name == "UserSyncFailed"
    assert taken(labels={"service": "x"}).name == ""


def test_a_delivery_is_read_whole():
    """What Alertmanager sends is what is taken."""
    assert parsed(alert(), truncatedAlerts=3) == alerts.Delivery(
        receiver="watchbridge",
        group_key='{}:{alertname="UserSyncFailed"}',
        alerts=(
            alerts.Alert(
                fingerprint="0123456789abcdef",
                status="firing",
                labels={"alertname": "UserSyncFailed", "user_id": "42"},
                annotations={"summary": "The sync of user 42 failed."},
                starts_at=pytest.approx(NOW - 29.876544, abs=1e-6),
                generator_url="http://prometheus:9090/graph?g0.expr=up",
            ),
        ),
        truncated=3,
        external_url="http://alertmanager:9093",
        group_labels={"alertname": "UserSyncFailed"},
    )


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param(b"[]", "not_an_object", id="B07 a list"),
        pytest.param(b"null", "not_an_object", id="B07 null"),
        pytest.param(b'"4"', "not_an_object", id="B07 a text"),
        pytest.param(b"4", "not_an_object", id="B07 a number"),
        pytest.param(b"{}", "unsupported_version", id="B07 nothing"),
        pytest.param(delivery(version=...), "unsupported_version", id="B07 no version"),
        pytest.param(delivery(version="5"), "unsupported_version", id="B07 version 5"),
        pytest.param(delivery(version="4 "), "unsupported_version", id="B07 version 4 and a space"),
        pytest.param(delivery(version=4), "unsupported_version", id="B07 version 4 as a number"),
        pytest.param(delivery(version=["4"]), "unsupported_version", id="B07 version in a list"),
        pytest.param(delivery(alerts=...), "missing_alerts", id="B07 no alerts"),
        pytest.param(delivery(alerts=None), "missing_alerts", id="B07 alerts null"),
        pytest.param(delivery(alerts={}), "missing_alerts", id="B07 alerts an object"),
        pytest.param(delivery(alerts="[]"), "missing_alerts", id="B07 alerts a text"),
    ],
)
def test_what_is_no_delivery(body, word):
    """Without a version and a list of alerts nothing can be said of it."""
    with pytest.raises(alerts.PayloadError) as caught:
        alerts.parse(body, NOW)
    assert (caught.value.status, caught.value.word) == (400, word)


def test_ten_thousand_alerts_are_taken_and_no_more():
    """B03: the bound is its own, whatever their size."""
    few = [alert(annotations=..., generatorURL=...)] * payload.MOST_ALERTS
    assert len(parsed(*few).alerts) == payload.MOST_ALERTS
    with pytest.raises(alerts.PayloadError) as caught:
        parsed(*few, few[0])
    assert (caught.value.status, caught.value.word) == (413, "too_many_alerts")


@pytest.mark.parametrize(
    ("changes", "field", "read"),
    [
        pytest.param(
            {"notification_reason": "new", "routeLabels": {"a": "b"}}, "truncated", 0, id="B07 unknown fields"
        ),
        pytest.param({"status": 7}, "truncated", 0, id="B07 the group's status is not read"),
        pytest.param({"receiver": ...}, "receiver", "", id="B07 no receiver"),
        pytest.param({"receiver": 7}, "receiver", "", id="B07 a receiver that is a number"),
        pytest.param({"receiver": "a\x1b\nb"}, "receiver", f"a{R}{R}b", id="B06 a receiver with controls"),
        pytest.param({"receiver": "x" * 10_000}, "receiver", "x" * 4095 + "…", id="B06 a long receiver"),
        pytest.param({"groupKey": None}, "group_key", "", id="B07 no group key"),
        pytest.param({"truncatedAlerts": ...}, "truncated", 0, id="B07 no truncatedAlerts"),
        pytest.param({"truncatedAlerts": -1}, "truncated", 0, id="B07 truncatedAlerts negative"),
        pytest.param({"truncatedAlerts": "7"}, "truncated", 0, id="B07 truncatedAlerts a text"),
        pytest.param({"truncatedAlerts": True}, "truncated", 0, id="B07 truncatedAlerts a truth value"),
        pytest.param({"truncatedAlerts": 1.5}, "truncated", 0, id="B07 truncatedAlerts a fraction"),
        pytest.param({"truncatedAlerts": 10**19}, "truncated", 0, id="B07 truncatedAlerts beyond any database"),
        pytest.param({"externalURL": "javascript:alert(1)"}, "external_url", "", id="B07 externalURL a script"),
        pytest.param({"externalURL": {}}, "external_url", "", id="B07 externalURL an object"),
        pytest.param({"groupLabels": ...}, "group_labels", {}, id="B07 no groupLabels"),
        pytest.param({"groupLabels": ["a"]}, "group_labels", {}, id="B07 groupLabels a list"),
        pytest.param({"groupLabels": {"a": 1}}, "group_labels", {}, id="B07 groupLabels with numbers"),
        pytest.param({"groupLabels": {"a": "x" * 2000}}, "group_labels", {}, id="B06 groupLabels too long"),
    ],
)
def test_fields_of_the_group_are_lenient(changes, field, read):
    """Nothing acts by them: what is odd is left out, and the alerts are taken all the same."""
    found = parsed(alert(), **changes)
    assert getattr(found, field) == read
    assert len(found.alerts) == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"status": ...}, "bad_status", id="B07 no status"),
        pytest.param({"status": "Firing"}, "bad_status", id="B07 a status in capitals"),
        pytest.param({"status": "pending"}, "bad_status", id="B07 an unknown status"),
        pytest.param({"status": ["firing"]}, "bad_status", id="B07 a status in a list"),
        pytest.param({"labels": ...}, "bad_labels", id="B07 no labels"),
        pytest.param({"labels": {}}, "bad_labels", id="B07 no label"),
        pytest.param({"labels": [["alertname", "x"]]}, "bad_labels", id="B07 labels a list"),
        pytest.param({"labels": labels(count=1)}, "bad_labels", id="B07 a label that is a number"),
        pytest.param({"labels": labels(none=None)}, "bad_labels", id="B07 a label that is null"),
        pytest.param({"labels": labels(more={"a": "b"})}, "bad_labels", id="B07 a label that is an object"),
        pytest.param({"labels": {str(n): "" for n in range(65)}}, "bad_labels", id="B07 65 labels"),
        pytest.param({"labels": {"": "x"}}, "bad_labels", id="B09 an empty name"),
        pytest.param({"labels": {"x" * 257: "x"}}, "label_too_long", id="B09 a name of 257 characters"),
        pytest.param({"labels": {"x" * 10_000: "x"}}, "label_too_long", id="B09 a name of 10 kB"),
        pytest.param({"labels": labels(a="x" * 1025)}, "label_too_long", id="B06 a value of 1,025 characters"),
        pytest.param({"labels": labels(a="x" * (1 << 20))}, "label_too_long", id="B06 a value of 1 MiB"),
        pytest.param(
            {"labels": labels(a="é" * 1025)}, "label_too_long", id="B06 a value of 1,025 characters, not ASCII"
        ),
        pytest.param({"labels": {str(n): "x" * 1024 for n in range(21)}}, "label_too_long", id="B06 labels of 21 KB"),
        pytest.param({"labels": {str(n): "日" * 1024 for n in range(7)}}, "label_too_long", id="B06 21 KB in UTF-8"),
        pytest.param({"labels": {"Café": "a", "Cafe\u0301": "b"}}, "duplicate_label", id="B06 NFC and NFD names"),
        pytest.param({"labels": {"a\0": "1", "a\x01": "2"}}, "duplicate_label", id="B06 names that differ by controls"),
        pytest.param({"annotations": []}, "bad_annotations", id="B07 annotations a list"),
        pytest.param({"annotations": "x"}, "bad_annotations", id="B07 annotations a text"),
        pytest.param({"annotations": {"a": 1}}, "bad_annotations", id="B07 an annotation that is a number"),
        pytest.param({"annotations": {"a": None}}, "bad_annotations", id="B07 an annotation that is null"),
        pytest.param({"startsAt": ...}, "bad_time", id="B07 no startsAt"),
        pytest.param({"startsAt": "0001-01-01T00:00:00Z"}, "bad_time", id="B07 startsAt zero"),
        pytest.param({"startsAt": "2026-11-26T11:59:30"}, "bad_time", id="B07 startsAt naive"),
        pytest.param({"startsAt": "1969-12-31T23:59:59Z"}, "bad_time", id="B07 startsAt negative"),
        pytest.param({"startsAt": "2026-11-28T00:00:00Z"}, "bad_time", id="B07 startsAt in the far future"),
        pytest.param({"startsAt": 1795694370}, "bad_time", id="B07 startsAt a number"),
        pytest.param({"status": "resolved", "startsAt": "soon"}, "bad_time", id="B07 startsAt of a resolved"),
        pytest.param({"status": "resolved", "endsAt": "soon"}, "bad_time", id="B07 endsAt"),
        pytest.param({"status": "resolved", "endsAt": "2027-01-01T00:00:00Z"}, "bad_time", id="B07 endsAt far ahead"),
    ],
)
def test_a_bad_alert_is_quarantined(changes, word):
    """It is told by a word of a fixed set and a sentence."""
    assert refused(**changes) == word


@pytest.mark.parametrize("one", [None, 7, "firing", [], [alert()]], ids=repr)
def test_what_is_no_alert_is_quarantined(one):
    """B07: wrong types."""
    found = parsed(alert(), one)
    assert len(found.alerts) == 1
    assert found.quarantined == (alerts.Quarantined(1, "not_an_object", "alert 2 is not an object"),)


def test_every_word_of_the_set_is_told():
    """The set is what counters and documents name: none is there for nothing."""
    cases = [mark.values for mark in test_a_bad_alert_is_quarantined.pytestmark[0].args[1]]
    assert {word for _, word in cases} | {"not_an_object"} == set(alerts.WORDS)


def test_the_rest_of_a_delivery_is_taken():
    """One bad alert never costs another: the whole group would be sent again and refused for ever."""
    found = parsed(alert(labels={}), alert(), alert(status="?"), alert(status="resolved"))
    assert [one.status for one in found.alerts] == ["firing", "resolved"]
    assert [(one.position, one.word) for one in found.quarantined] == [(0, "bad_labels"), (2, "bad_status")]


def test_the_sentence_of_a_bad_alert_repeats_none_of_it():
    """Its texts are hostile, and may be secret."""
    secret = "s3cr3t" * 1000
    changes = [{"labels": {"a": secret}}, {"labels": {secret: "a"}}, {"startsAt": secret}, {"status": secret}]
    found = parsed(*(alert(**one) for one in changes))
    assert len(found.quarantined) == len(changes)
    assert not any("s3cr3t" in one.sentence or len(one.sentence) > 120 for one in found.quarantined)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a=b", id="B09 an equals sign"),
        pytest.param("__proto__", id="B09 __proto__"),
        pytest.param("constructor", id="B09 constructor"),
        pytest.param("BASH_FUNC_x%%", id="B09 BASH_FUNC_x%%"),
        pytest.param("LD_PRELOAD", id="B09 LD_PRELOAD"),
        pytest.param("--now", id="B09 an option"),
        pytest.param("a b", id="B09 a space"),
        pytest.param("日本", id="B09 not ASCII"),
        pytest.param("x" * 256, id="B09 256 characters"),
    ],
)
def test_any_name_of_a_label_is_only_a_name(name):
    """It is kept as it is: nothing makes a variable, an option or an attribute of it."""
    assert taken(labels={name: "x"}).labels == {name: "x"}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param("a\ud800", f"a{R}", id="B06 a lone surrogate"),
        pytest.param("a\0b", f"a{R}b", id="B06 NUL"),
        pytest.param("a\r\nb", f"a{R}{R}b", id="B06 CR LF"),
        pytest.param("\x1b]0;x\x07", f"{R}]0;x{R}", id="B06 ESC"),
        pytest.param("\u202egnp.exe", f"{R}gnp.exe", id="B06 right to left"),
        pytest.param("Cafe\u0301", "Café", id="B06 NFD"),
        pytest.param("p\u0430yments", "p\u0430yments", id="B06 a homoglyph"),
        pytest.param("Payments", "Payments", id="B06 capitals"),
        pytest.param("a;reboot", "a;reboot", id="B08 a shell's semicolon"),
        pytest.param("", "", id="B06 empty"),
        pytest.param("x" * 1024, "x" * 1024, id="B06 1,024 characters"),
        pytest.param("e\u0301" * 1024, "é" * 1024, id="B06 1,024 characters once they are NFC"),
    ],
)
def test_a_value_of_a_label_is_normalised_and_never_cut(raw, value):
    """A cut one would be another alert's."""
    assert taken(labels={"service": raw}).labels == {"service": value}


def test_annotations_are_normalised_and_cut():
    """They are for people to read: the alert counts, however long its prose is."""
    found = taken(
        annotations={
            "short": "one\n\ttwo\x1b",
            "long": "x" * 5000,
            "": "no name",
            "n" * 300: "long name",
            "a\0": "first",
            "a\x01": "second",
        }
    )
    assert found.annotations == {
        "short": f"one\n\ttwo{R}",
        "long": "x" * 4095 + "…",
        "n" * 255 + "…": "long name",
        f"a{R}": "first",
    }
    assert taken(annotations=None).annotations == {}
    assert taken(annotations=...).annotations == {}


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({str(n): "x" for n in range(1000)}, id="many"),
        pytest.param({str(n): "x" * 4096 for n in range(60)}, id="large"),
        pytest.param({str(n): "日" * 4096 for n in range(60)}, id="large in UTF-8"),
        pytest.param({str(n) + "é" * 250: "é" for n in range(64)}, id="large names"),
        pytest.param({str(n): "a" + "\u0315\u0300\u0316" * 6000 for n in range(60)}, id="marks without end"),
    ],
)
def test_annotations_are_bounded_together(annotations):
    """B06: the first are kept, and the rest is cut rather than the alert refused."""
    found = taken(annotations=annotations).annotations
    assert 0 < len(found) <= labelsets.MOST
    assert sum(len((name + value).encode()) for name, value in found.items()) <= labelsets.LARGEST_ANNOTATIONS
    assert next(iter(found)) == next(iter(annotations))


@pytest.mark.parametrize(
    ("changes", "starts_at", "ends_at"),
    [
        pytest.param({}, NOW - 29.876544, None, id="firing"),
        pytest.param({"endsAt": "2026-11-26T11:00:00Z"}, NOW - 29.876544, None, id="firing, with an end"),
        pytest.param({"endsAt": 7}, NOW - 29.876544, None, id="B07 firing, with an odd end"),
        pytest.param({"status": "resolved"}, NOW - 29.876544, None, id="resolved, with a zero end"),
        pytest.param({"status": "resolved", "endsAt": ...}, NOW - 29.876544, None, id="B07 resolved, without an end"),
        pytest.param({"status": "resolved", "endsAt": "2026-11-26T12:00:00Z"}, NOW - 29.876544, NOW, id="resolved"),
        pytest.param(
            {"status": "resolved", "endsAt": "2026-11-26T11:00:00Z", "startsAt": ...},
            NOW - 3600,
            NOW - 3600,
            id="resolved, without a start",
        ),
        pytest.param(
            {"status": "resolved", "endsAt": ..., "startsAt": ...}, NOW, None, id="resolved, without any time"
        ),
    ],
)
def test_when_an_alert_began_and_ended(changes, starts_at, ends_at):
    """Go's zero time is no time, and what fires has not ended."""
    found = taken(**changes)
    assert found.starts_at == pytest.approx(starts_at, abs=1e-6)
    assert found.ends_at == ends_at


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        pytest.param("https://grafana.example/alerting?orgId=1&x=%7B#a", True, id="https"),
        pytest.param("HTTP://[::1]:9090/graph", True, id="capitals, IPv6"),
        pytest.param("http://x/" + "a" * 1991, True, id="2,000 characters"),
        pytest.param("http://x/" + "a" * 1992, False, id="B06 2,001 characters"),
        pytest.param("javascript:alert(1)", False, id="B06 a script"),
        pytest.param("data:text/html,x", False, id="B06 data"),
        pytest.param("//evil.example/", False, id="B06 no scheme"),
        pytest.param(" http://x/", False, id="B06 a space first"),
        pytest.param("http://x/\r\nSet-Cookie: a", False, id="B06 CR LF"),
        pytest.param('http://x/"onclick="a', False, id="B06 quotes"),
        pytest.param("http://x/<b>", False, id="B06 a tag"),
        pytest.param("http://x/\u202e", False, id="B06 right to left"),
        pytest.param("http://", False, id="B06 no host"),
        pytest.param(7, False, id="B07 a number"),
        pytest.param(..., False, id="B07 absent"),
    ],
)
def test_only_a_link_that_can_be_followed_is_kept(url, kept):
    """A link to something else is left out; the alert is taken."""
    assert taken(generatorURL=url).generator_url == (url if kept else "")


@pytest.mark.parametrize(
    "fingerprint",
    [
        pytest.param(..., id="B07 absent"),
        pytest.param("", id="B07 empty"),
        pytest.param(None, id="B07 null"),
        pytest.param(7, id="B07 a number"),
        pytest.param("x" * 65, id="B07 too long"),
        pytest.param("a/../b", id="B07 a path"),
        pytest.param("abc\n", id="B07 a line end"),
        pytest.param("é", id="B07 not ASCII"),
    ],
)
def test_an_alert_without_a_fit_fingerprint_gets_the_hash_of_its_labels(fingerprint):
    """Length-prefixed and sorted: no two sets of labels make one text."""
    text = b"9:alertname5:Caf\xc3\xa91:b1:x"
    found = taken(fingerprint=fingerprint, labels={"b": "x", "alertname": "Cafe\u0301"})
    assert found.fingerprint == hashlib.sha256(text).hexdigest()[:32]


@pytest.mark.parametrize("fingerprint", ["0123456789abcdef", "A-z_9", "x" * 64])
def test_a_fingerprint_that_is_fit_is_taken(fingerprint):
    """Alertmanager's own, or another sender's."""
    assert taken(fingerprint=fingerprint).fingerprint == fingerprint


PIECES = st.text(st.characters() | st.sampled_from("\0\x1b\u202e\ud800\u0301e\n"), max_size=30)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).filter(bool)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20) + 1, 10**20 - 1) | NUMBERS | PIECES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PIECES, inner, max_size=4),
    max_leaves=12,
)
SETS = st.dictionaries(PIECES, PIECES, max_size=6) | VALUES
TIMES = st.sampled_from(["2026-11-26T11:00:00Z", "0001-01-01T00:00:00Z", "1960-01-01T00:00:00Z", ""]) | VALUES
ALERTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["firing", "resolved", "x"]), "labels": SETS},
    optional={
        "annotations": SETS,
        "startsAt": TIMES,
        "endsAt": TIMES,
        "generatorURL": PIECES | st.just("http://x/y"),
        "fingerprint": PIECES | st.just("abc"),
        "more": VALUES,
    },
)


@settings(max_examples=120, deadline=None)
@given(VALUES, VALUES)
def test_arbitrary_json_is_a_delivery_or_refused(whole, inner):
    """Nothing but PayloadError comes out, at the top and in the place of the alerts."""
    for value in (
        whole,
        {"version": "4", "alerts": inner},
        {"version": "4", "alerts": [inner], "truncatedAlerts": whole},
    ):
        found = outcome(json.dumps(value).encode())
        if isinstance(found, alerts.Delivery):
            assert len(found.alerts) + len(found.quarantined) == len(value["alerts"])
        else:
            assert found in alerts.REFUSALS


@settings(max_examples=120, deadline=None)
@given(st.lists(ALERTS, max_size=5))
def test_every_alert_is_taken_within_bounds_or_quarantined(several):
    """What is taken is encodable, bounded, the same after JSON, and the same when it is delivered once more."""
    found = outcome(delivery(*several))
    assume(found != "duplicate_key")  # two halves of a character are the same as the character
    places = [one.position for one in found.quarantined]
    assert len(found.alerts) + len(places) == len(several)
    assert places == sorted(set(places))
    for one in found.alerts:
        told = json.dumps(dataclasses.asdict(one), ensure_ascii=False).encode()
        assert json.loads(told) == dataclasses.asdict(one)
        assert 0 < len(one.labels) <= labelsets.MOST
        assert all(0 < len(name) <= labelsets.LONGEST_NAME for name in [*one.labels, *one.annotations])
        assert all(len(value) <= labelsets.LONGEST_VALUE for value in one.labels.values())
        assert all(len(value) <= labelsets.LONGEST_ANNOTATION for value in one.annotations.values())
        assert 0 <= one.starts_at <= NOW + 86_400
        again = taken(
            status=one.status,
            labels=dict(one.labels),
            annotations=dict(one.annotations),
            fingerprint=one.fingerprint,
            generatorURL=one.generator_url,
        )
        assert (again.labels, again.annotations) == (one.labels, one.annotations)
        assert (again.fingerprint, again.generator_url) == (one.fingerprint, one.generator_url)
