"""The JSON of a request is read strictly: one meaning, bounded, and what is wrong with it has a word and a place."""

from __future__ import annotations

import json
import sys

import pytest
from alerts.deliveries import NOW, alert, delivery, outcome
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter import alerts
from exporter.alerts import document

MIB8 = 8 << 20


def error(body):
    """Return how a body is refused."""
    with pytest.raises(alerts.PayloadError) as caught:
        alerts.parse(body, NOW)
    assert caught.value.word in alerts.REFUSALS
    assert str(caught.value) == caught.value.sentence
    assert caught.value.sentence.isprintable()
    assert len(caught.value.sentence) < 200
    return caught.value


def within(value):
    """Return a delivery with a piece of JSON, as it is, in a field that nobody reads."""
    return delivery(alert())[:-1] + b', "news": ' + value + b"}"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param(b"", "invalid_json", id="B01 empty"),
        pytest.param(b" \n\t", "invalid_json", id="B01 white space"),
        pytest.param(b"alertname=Down", "invalid_json", id="B01 a form"),
        pytest.param(b"version: '4'", "invalid_json", id="B01 YAML"),
        pytest.param(b"{'version': '4'}", "invalid_json", id="B01 single quotes"),
        pytest.param(b'{"version": "4",}', "invalid_json", id="B01 a comma too many"),
        pytest.param(b'{"version": "4"} {}', "invalid_json", id="B01 two documents"),
        pytest.param(b'{"version": "4"}\0', "invalid_json", id="B01 NUL at the end"),
        pytest.param(b'{"version": "4\n"}', "invalid_json", id="B01 a raw line end in a text"),
        pytest.param(b'{"version": "\\x34"}', "invalid_json", id="B01 an escape that JSON does not know"),
        pytest.param(b"// no\n{}", "invalid_json", id="B01 a comment"),
        pytest.param(b"\xef\xbb\xbf" + delivery(), "invalid_encoding", id="B01 byte order mark"),
        pytest.param(delivery().decode().encode("utf-16"), "invalid_encoding", id="B01 UTF-16 with its mark"),
        pytest.param(delivery().decode().encode("utf-16-le"), "invalid_encoding", id="B01 UTF-16 little endian"),
        pytest.param(delivery().decode().encode("utf-16-be"), "invalid_encoding", id="B01 UTF-16 big endian"),
        pytest.param(delivery().decode().encode("utf-32-be"), "invalid_encoding", id="B01 UTF-32"),
        pytest.param(b'{"version": "\xff"}', "invalid_encoding", id="B01 invalid UTF-8"),
        pytest.param(b'{"version": "\xed\xa0\x80"}', "invalid_encoding", id="B01 a surrogate in UTF-8"),
        pytest.param(b'{"version": "\xc0\xb4"}', "invalid_encoding", id="B01 overlong UTF-8"),
        pytest.param(b'{"version": "\xe4"}', "invalid_encoding", id="B01 Latin-1"),
        pytest.param(within(b"NaN"), "not_a_number", id="B02 NaN"),
        pytest.param(within(b"Infinity"), "not_a_number", id="B02 Infinity"),
        pytest.param(within(b"-Infinity"), "not_a_number", id="B02 -Infinity"),
        pytest.param(within(b"1e999"), "not_a_number", id="B02 1e999"),
        pytest.param(within(b"-1e999"), "not_a_number", id="B02 -1e999"),
        pytest.param(within(b"9" * 5000), "not_a_number", id="B02 5000 digits"),
        pytest.param(within(b"1" + b"0" * 20), "not_a_number", id="B02 21 digits"),
        pytest.param(within(b"0." + b"1" * 5000), "not_a_number", id="B02 5000 digits behind the point"),
        pytest.param(within(b"-0"), "not_a_number", id="B02 -0"),
        pytest.param(within(b"-0.0"), "not_a_number", id="B02 -0.0"),
        pytest.param(within(b'{"a": 1, "a": 1}'), "duplicate_key", id="B02 a key twice"),
        pytest.param(within(b'{"a": 1, "\\u0061": 1}'), "duplicate_key", id="B02 a key twice, once escaped"),
        pytest.param(delivery(alert())[:-1] + b', "alerts": []}', "duplicate_key", id="B02 the alerts twice"),
        pytest.param(b"[" * MIB8, "too_deep", id="B03 8 MiB of ["),
        pytest.param(b'{"a":' * (MIB8 // 5), "too_deep", id="B03 8 MiB of objects"),
        pytest.param(b"[1," * (MIB8 // 3), "too_deep", id="B03 8 MiB of lists with values"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "too_deep", id="B03 100k brackets"),
        pytest.param(within(b"[" * 32 + b"]" * 32), "too_deep", id="B03 33 deep"),
        pytest.param(within(b"[[]," * 32 + b"1" + b"]" * 32), "too_deep", id="B03 33 deep, with others between"),
        pytest.param(within(b'["\\\\",' * 32 + b"1" + b"]" * 32), "too_deep", id="B03 33 deep, with backslashes"),
        pytest.param(b"]" * MIB8, "invalid_json", id="B03 8 MiB of ]"),
        pytest.param(b'"' * MIB8, "invalid_json", id="B03 8 MiB of quotes"),
        pytest.param(b'["' + b"\\" * MIB8, "invalid_json", id="B03 8 MiB of backslashes"),
        pytest.param(b"9" * MIB8, "not_a_number", id="B03 8 MiB of digits"),
    ],
)
def test_a_body_that_is_refused(body, word):
    """The whole request is refused with 400: what is wrong is Alertmanager's, or no Alertmanager's."""
    refusal = error(body)
    assert (refusal.status, refusal.word) == (400, word)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(b"[" + b"1," * 1_000_000 + b"1]", id="B03 a million numbers"),
        pytest.param(b"[" + b"{}," * 1_000_000 + b"{}]", id="B03 a million objects"),
        pytest.param(b"[" + b'"[",' * 1_000_000 + b'""]', id="B03 a million texts"),
        pytest.param(b"[" + b"1," * 10_000 + b"1]", id="B03 10,001 alerts"),
    ],
)
def test_too_much_is_refused_with_413(values):
    """More alerts than any group has, or more values than any such alerts have."""
    refusal = error(b'{"version": "4", "alerts": ' + values + b"}")
    assert (refusal.status, refusal.word) == (413, "too_many_alerts")
    assert "max_alerts" in refusal.sentence


@pytest.mark.parametrize(
    ("value", "read"),
    [
        pytest.param(b"0", 0, id="zero"),
        pytest.param(b"99999999999999999999", 99999999999999999999, id="20 digits"),
        pytest.param(b"-12.5e3", -12500.0, id="a fraction"),
        pytest.param(b'"\\ud83d\\ude00"', "\U0001f600", id="an escaped pair"),
        pytest.param(b'"' + "é日".encode() + b'"', "é日", id="UTF-8"),
        pytest.param(b'["' + b"[" * 1000 + b'"]', ["[" * 1000], id="brackets in a text"),
        pytest.param(b'["' + b'\\"[' * 1000 + b'"]', ['"[' * 1000], id="quotes and brackets in a text"),
        pytest.param(b'["\\\\", [], "\\\\\\"["]', ["\\", [], '\\"['], id="backslashes before quotes"),
        pytest.param(b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32), id="B03 32 deep"),
        pytest.param(b'{"__proto__": {"a": null}}', {"__proto__": {"a": None}}, id="B09 __proto__"),
    ],
)
def test_what_is_json_is_read(value, read):
    """Strict is not narrow: all of JSON that has one meaning is taken."""
    assert document.read(value) == read


def test_a_crowd_of_commas_in_texts_is_no_crowd_of_values():
    """Only what stands outside of texts is counted."""
    text = "," * (document.MOST_VALUES + 1)
    assert document.read(json.dumps([text]).encode()) == [text]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param(b'{"version": "4",\n "alerts": [}', "line 2, column 13 (character 29)", id="JSON"),
        pytest.param(b'{"a": "\xff"}', "byte 7", id="encoding"),
        pytest.param(b'{"status": 1, "status": 2}', "'status'", id="the key that stands twice"),
        pytest.param(b'{"n": 1e999}', "'1e999'", id="the number"),
    ],
)
def test_the_sentence_says_where(body, place):
    """Whoever wrote the sender can find it."""
    assert place in error(body).sentence


def test_the_sentence_repeats_no_more_than_a_few_printable_characters():
    """What was sent is hostile, and may be secret."""
    key = json.dumps("\x1b[31m" + "secret" * 100)
    assert "secret" * 4 not in error(f"{{{key}: 1, {key}: 2}}".encode()).sentence


def test_depth_never_meets_the_recursion_limit():
    """Also far down in a stack of calls there is room for 32 levels, and more are refused before they are read."""

    def down(levels):
        return down(levels - 1) if levels else error(b"[" * 100_000)

    assert down(sys.getrecursionlimit() // 2).word == "too_deep"


def test_a_truncated_body_is_refused_at_every_offset():
    """F20, its pure half: no part of a delivery is taken for the whole of it."""
    annotations = {"summary": 'A "quoted" \\ text with [brackets] {braces} and é. ', "description": "word " * 210}
    body = delivery(alert(annotations=annotations), alert(status="resolved", endsAt="2026-11-26T11:00:00Z"))
    assert 2000 < len(body) < 2100
    assert len(alerts.parse(body, NOW).alerts) == 2
    for end in range(len(body)):
        assert error(body[:end]).status == 400


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_delivery_or_refused(body):
    """Nothing but PayloadError comes out."""
    found = outcome(body)
    assert isinstance(found, alerts.Delivery) or found in alerts.REFUSALS


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*'[]{}",:\\ \n\0é1-', "[" * 20, "]" * 20, '\\"', "null", "NaN", "\\u00"]), max_size=80)
)
@example(['"', "\\", '"', *"[" * 40])
@example(["\\", '"', *"[" * 40])
def test_what_the_scan_lets_through_is_what_a_plain_reader_takes(pieces):
    """The quick look at the depth agrees with the reader about where texts begin and end."""
    body = "".join(pieces).encode()
    try:
        plain = json.loads(body)
    except ValueError:
        plain = None
    try:
        read = document.read(body)
    except alerts.PayloadError as refusal:
        if refusal.word == "too_deep" and plain is not None:
            assert _depth(plain) > document.DEEPEST
        return
    assert read == plain
    assert _depth(read) <= document.DEEPEST


def _depth(value):
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)
