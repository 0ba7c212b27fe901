"""Files of the backlog: lenient in names and times, strict in the rest, and told line by line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import backlog_lines
from exporter.backlog_lines import BadLine, Line, LineError

NOON = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def read(text: str | bytes, *, processed: bool = False) -> list[tuple[int, Line] | BadLine]:
    """Return what a file gives."""
    raw = text.encode() if isinstance(text, str) else text
    return list(backlog_lines.read(raw.splitlines(keepends=True), processed=processed))


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        pytest.param(
            {"user_id": 42, "reason": "r", "timestamp": "2026-03-01T12:00:00Z"}, Line("42", "r", NOON), id="S2"
        ),
        pytest.param({"user_id": "42"}, Line("42"), id="a text"),
        pytest.param({"id": 42}, Line("42"), id="id"),
        pytest.param({"id": 7, "key": "ann"}, Line("ann"), id="key before id"),
        pytest.param({"user": " ann ", "login": "x"}, Line("ann"), id="user, space around, more keys"),
        pytest.param({"user_id": None, "id": 1}, Line("1"), id="null is absent"),
        pytest.param({"id": 1, "added_at": NOON}, Line("1", "", NOON), id="epoch"),
        pytest.param({"id": 1, "created_at": str(int(NOON))}, Line("1", "", NOON), id="epoch in a text"),
        pytest.param({"id": 1, "queued_at": NOON * 1000}, Line("1", "", NOON), id="milliseconds"),
        pytest.param({"id": 1, "timestamp": "2026-03-01T14:00:00+02:00"}, Line("1", "", NOON), id="a zone"),
        pytest.param({"id": 1, "timestamp": "2026-03-01 12:00:00"}, Line("1", "", NOON), id="no zone is UTC"),
        pytest.param({"id": 1, "timestamp": "2026-03-01T12:00:00.000000000Z"}, Line("1", "", NOON), id="nanoseconds"),
        pytest.param({"id": 1, "timestamp": ""}, Line("1"), id="an empty time is none"),
        pytest.param({"id": 1, "processed_at": NOON}, Line("1", "", None, NOON, processed=True), id="processed"),
        pytest.param(
            {"id": 1, "added_at": NOON - 1, "processed_at": NOON},
            Line("1", "", NOON - 1, NOON, processed=True),
            id="added and processed",
        ),
        pytest.param({"id": 1, "reason": "a\n\x1b[31mb\t c"}, Line("1", "a \ufffd[31mb c"), id="on one printable line"),
        pytest.param({"id": 1, "reason": {"a": 1}}, Line("1", '{"a": 1}'), id="a reason that is no text"),
        pytest.param({"id": "e\u0301"}, Line("\u00e9"), id="NFC"),
    ],
)
def test_a_line_is_read_whatever_its_keys_are_called(entry: dict[str, object], line: Line) -> None:
    assert read(json.dumps(entry)) == [(1, line)]


def test_a_timestamp_in_a_file_of_processed_items_is_when_that_was() -> None:
    (found,) = read('{"user_id": 42, "timestamp": "2026-03-01T12:00:00Z"}', processed=True)
    assert found == (1, Line("42", "", None, NOON, processed=True))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{x", "is no JSON at column 2"),
        (b'"x"', "is no JSON object"),
        (b"[1]", "is no JSON object"),
        (b'{"reason": "x"}', "names no item: wanted one of the keys user_id, key, id, user"),
        (b'{"id": true}', "neither a whole number nor a text"),
        (b'{"id": 1.5}', "neither a whole number nor a text"),
        (b'{"id": {}}', "neither a whole number nor a text"),
        (b'{"id": ""}', "the key is empty"),
        (b'{"id": "a\\nb"}', "line breaks"),
        (b'{"id": "\\ud800"}', "cannot be shown"),
        (b'{"id": "' + b"x" * 256 + b'"}', "has 256 characters"),
        (b'{"id": 1, "timestamp": "yesterday"}', "a timestamp that is no time"),
        (b'{"id": 1, "timestamp": NaN}', "is no time"),
        (b'{"id": 1, "timestamp": -1}', "is no time"),
        (b'{"id": 1, "timestamp": 1e999}', "is no time"),
        (b'{"id": 1, "added_at": [1]}', "added_at that is no time"),
        (b'{"id": 1, "timestamp": true}', "is no time"),
        (b'{"id": "\xff"}', "is not UTF-8"),
        (b"[" * 60_000, "is"),
        (b'{"id": 1, "x": "' + b"x" * 70_000 + b'"}', "is longer than 64 KiB"),
        (b'{"id": ' + b"9" * 5000 + b"}", "has 5000 characters"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_read(raw: bytes, said: str) -> None:
    first, bad, last = read(b'{"id": 1}\n' + raw + b'\n\n{"id": 2}')
    assert (first, last) == ((1, Line("1")), (4, Line("2")))
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert said in bad.sentence
    assert len(bad.sentence) < 200


def test_a_byte_order_mark_and_blank_lines_are_nothing() -> None:
    assert read(b'\xef\xbb\xbf{"id": 1}\r\n\r\n   \n') == [(1, Line("1"))]
    assert read(b"") == []


def test_a_reason_of_a_file_is_cut_and_one_of_a_person_refused() -> None:
    ((_, line),) = read(json.dumps({"id": 1, "reason": "x" * 600}))
    assert line.reason == "x" * 499 + "…"
    with pytest.raises(LineError, match="has 600 characters"):
        backlog_lines.reason_of("x" * 600)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("42", "42"),
        ("0", "0"),
        ("042", '"042"'),
        ("-1", '"-1"'),
        ("ann", '"ann"'),
        ("9" * 19, f'"{"9" * 19}"'),
        ("٤", '"٤"'),
    ],
)
def test_a_key_that_is_a_whole_number_is_written_as_one(key: str, text: str) -> None:
    said = f'{{"user_id": {text}, "reason": "r", "timestamp": "2026-03-01T12:00:00Z"}}'
    assert backlog_lines.written(key, "r", NOON + 0.9) == said


KEYS = st.text(max_size=300).map(lambda text: text.strip()).filter(bool)


@given(KEYS, st.text(max_size=300), st.integers(0, 253_402_300_799), st.booleans())
def test_what_is_written_reads_as_the_same(
    key: str,
    reason: str,
    moment: int,
    processed: bool,  # noqa: FBT001 - a drawn value
) -> None:
    """Any key and reason that are stored go out to a file and come back; what is no key is refused in words."""
    try:
        stored, why = backlog_lines.key_of(key), backlog_lines.reason_of(reason)
    except LineError:
        return
    ((_, line),) = read(backlog_lines.written(stored, why, moment) + "\n", processed=processed)
    assert (line.key, line.reason, line.processed) == (stored, why, processed)
    assert (line.processed_at if processed else line.added_at) == moment


@given(st.binary(max_size=300))
def test_no_bytes_raise(raw: bytes) -> None:
    for found in read(raw):
        assert isinstance(found, BadLine | tuple)


@given(
    st.dictionaries(
        st.sampled_from(["id", "reason", "timestamp", "processed_at"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda part: st.lists(part) | st.dictionaries(st.text(), part),
            max_leaves=5,
        ),
    )
)
def test_no_object_raises(entry: dict[str, object]) -> None:
    for found in read(json.dumps(entry)):
        assert isinstance(found, BadLine | tuple)
