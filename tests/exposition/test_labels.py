"""Text from outside becomes label values that nothing breaks on."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.labels import LIMIT, encodable, normalised

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Published", "Published", id="plain ASCII stays"),
        pytest.param("in review", "in review", id="a space stays"),
        pytest.param("  ", "  ", id="only spaces stay"),
        pytest.param(None, "__null__", id="NULL"),
        pytest.param("", "__empty__", id="empty"),
        pytest.param("e\u0301", "\u00e9", id="NFD becomes NFC"),
        pytest.param("\u00e9", "\u00e9", id="NFC stays"),
        pytest.param("\ud800", "\ufffd", id="a lone high surrogate"),
        pytest.param("a\udfffb", "a\ufffdb", id="a lone low surrogate"),
        pytest.param("a\x00b", "a\ufffdb", id="NUL"),
        pytest.param("a\r\nb", "a\ufffd\ufffdb", id="CR and LF"),
        pytest.param("a\tb", "a\ufffdb", id="tab"),
        pytest.param("\x1b[31mred", "\ufffd[31mred", id="a terminal's escape"),
        pytest.param("a\x7fb", "a\ufffdb", id="DEL"),
        pytest.param("a\x85b", "a\ufffdb", id="C1"),
        pytest.param("a\u202eb", "a\ufffdb", id="right-to-left override"),
        pytest.param("a\u2066b\u2069", "a\ufffdb\ufffd", id="isolates"),
        pytest.param("a\u200eb\u200fc\u061c", "a\ufffdb\ufffdc\ufffd", id="direction marks"),
        pytest.param("\ufeffa", "\ufffda", id="byte order mark"),
        pytest.param("a\u2028b\u2029", "a\ufffdb\ufffd", id="line separators"),
        pytest.param("👩\u200d🔧", "👩\u200d🔧", id="a joined emoji stays"),
        pytest.param("x" * 128, "x" * 128, id="128 characters stay"),
        pytest.param("x" * 129, "x" * 127 + "…", id="129 characters are cut"),
        pytest.param("é" * 129, "é" * 127 + "…", id="not ASCII, cut"),
        pytest.param("e\u0301" * 128, "\u00e9" * 128, id="characters are counted after NFC"),
        pytest.param("x" * 1_000_000, "x" * 127 + "…", id="a megabyte"),
    ],
)
def test_a_label_value_is_normalised(text: str | None, expected: str) -> None:
    assert normalised(text) == expected


@given(ANYTHING)
def test_every_normalised_value_is_short_encodable_nfc_and_final(text: str) -> None:
    value = normalised(text)
    assert 1 <= len(value) <= LIMIT
    assert value.encode().decode() == value
    assert normalize("NFC", value) == value
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in value)
    assert normalised(value) == value


def test_a_run_of_combining_marks_costs_no_more_than_its_beginning() -> None:
    """NFC sorts such a run in quadratic time: a megabyte of it would take minutes."""
    assert len(normalised("a" + "\u0301\u0316" * 500_000)) == LIMIT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("tab\tnewline\n", "tab\tnewline\n", id="what can be escaped stays"),
        pytest.param("", "", id="empty stays"),
        pytest.param("x" * 500, "x" * 500, id="long stays"),
        pytest.param("e\u0301", "e\u0301", id="NFD stays"),
        pytest.param("\ud83d\x00\r", "\ufffd\ufffd\ufffd", id="surrogate, NUL, CR"),
    ],
)
def test_encodable_replaces_only_what_breaks_the_exposition(text: str, expected: str) -> None:
    assert encodable(text) == expected
