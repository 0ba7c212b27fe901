"""Texts of alerts: NFC, printable, bounded; what cannot be shown is U+FFFD, and nothing is folded or guessed."""

from __future__ import annotations

from unicodedata import is_normalized

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.alerts import texts

R = "\ufffd"
HOSTILE = st.text(
    st.characters()
    | st.sampled_from(
        "\ud800\udfff\0\n\t\r\x1b\u202e\u0301\u0315\u0316\u0344\u1100\u1161\u11a8\U0001e944e\u212b\ufeff"
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        pytest.param("up", "up", id="B06 ASCII"),
        pytest.param("Ünïcode 日本 😀", "Ünïcode 日本 😀", id="B06 NFC"),
        pytest.param("Cafe\u0301", "Café", id="B06 NFD becomes NFC"),
        pytest.param("\u212b", "Å", id="B06 the Angstrom sign is Å"),
        pytest.param("a\ud800b", f"a{R}b", id="B06 a lone surrogate"),
        pytest.param("\ud83d\ude00", R + R, id="B06 two surrogates that are no character of Python's"),
        pytest.param("a\0b", f"a{R}b", id="B06 NUL"),
        pytest.param("a\r\nb", f"a{R}{R}b", id="B06 CR LF"),
        pytest.param("a\tb", f"a{R}b", id="B06 a tab"),
        pytest.param("\x1b[31mred", f"{R}[31mred", id="B06 ESC"),
        pytest.param("\x9b31m", f"{R}31m", id="B06 C1"),
        pytest.param("\x7f", R, id="B06 DEL"),
        pytest.param("ev\u202elive", f"ev{R}live", id="B06 right to left"),
        pytest.param("\u2066x\u2069\u200f\u061c", f"{R}x{R}{R}{R}", id="B06 isolates and marks"),
        pytest.param("a\u2028b\ufeff", f"a{R}b{R}", id="B06 a line separator, a byte order mark"),
        pytest.param("\u0430pi", "\u0430pi", id="B06 a homoglyph stays what it is"),
        pytest.param("API", "API", id="B06 case stays"),
        pytest.param("ﬁ", "ﬁ", id="B06 a ligature stays (NFC, not NFKC)"),
        pytest.param("", "", id="B06 empty"),
    ],
)
def test_a_label_is_normalised(text, taken):
    """One line that every terminal can show; texts that differ after NFC stay different."""
    assert texts.label(text) == taken


def test_lines_keep_line_feeds_and_tabs():
    """Annotations are prose."""
    assert texts.lines("one\n\ttwo\r\x1b") == f"one\n\ttwo{R}{R}"
    assert texts.lines("Cafe\u0301\n") == "Café\n"


def test_marks_without_end_are_cut():
    """Ordering them would take quadratic time: a text of 100,000 of them is read as quickly as another."""
    text = "a" + "\u0315\u0300\u0316" * 33_334
    taken = texts.lines(text)
    assert len(taken) < 40
    assert taken.endswith(R)


@pytest.mark.parametrize(
    ("text", "limit", "taken"),
    [
        pytest.param("abcd", 4, "abcd", id="fits"),
        pytest.param("abcde", 4, "abc…", id="too long"),
        pytest.param("e\u0301" * 4, 4, "éééé", id="fits once it is NFC"),
        pytest.param("\ufb2c" * 4, 4, "\u05e9\u05bc\u05c1…", id="grows as NFC"),
        pytest.param("x" * 1_000_000, 4, "xxx…", id="a million"),
    ],
)
def test_what_is_cut_ends_in_an_ellipsis(text, limit, taken):
    """A reader sees that there was more."""
    assert texts.cut(text, limit) == taken


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_normalising_twice_changes_nothing(text):
    """So it does not matter how often a text passes, and stored texts are equal to delivered ones."""
    label = texts.label(text)
    assert texts.label(label) == label
    lines = texts.lines(text)
    assert texts.lines(lines) == lines
    cut = texts.cut(text, 20)
    assert texts.cut(cut, 20) == cut
    assert len(cut) <= 20


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_what_is_taken_is_nfc_encodable_and_printable(text):
    """No store, log or page has to look again."""
    label = texts.label(text)
    assert is_normalized("NFC", label)
    label.encode()
    assert not any(one in label for one in "\0\n\r\t\x1b\x7f\x9b\u202e\u2028\ufeff")
    lines = texts.lines(text)
    lines.encode()
    assert not any(one in lines for one in "\0\r\x1b\x7f\x9b\u202e\u2028\ufeff")
