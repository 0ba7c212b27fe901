"""Patterns are RE2's: linear in time, over bytes, and a mistake in one is a sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import patterns


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        pytest.param("ok", b"all ok", True, id="a literal"),
        pytest.param("^ok$", b"ok\nno", False, id="anchors are those of the whole text"),
        pytest.param("(?m)^ok$", b"no\nok", True, id="lines when asked"),
        pytest.param("(?i)OK", b"ok", True, id="case when asked"),
        pytest.param("a.c", "aéc".encode(), True, id="a dot takes a UTF-8 character"),
        pytest.param(r"\pL{3}", "aéc".encode(), True, id="classes know Unicode"),
        pytest.param("aéc", "xaécx".encode(), True, id="a pattern outside ASCII"),
        pytest.param("ok", b"\xff\xfe ok", True, id="other bytes do not hurt"),
        pytest.param("a.c", b"a\xffc", False, id="what is not UTF-8 is no character"),
        pytest.param("a\\x00b", b"a\0b", True, id="NUL"),
        pytest.param("", b"", True, id="the empty pattern"),
    ],
)
def test_a_pattern_is_searched_in_bytes(pattern, text, found):
    """Bodies and headers are bytes: nothing decodes them first."""
    assert (patterns.compiled(pattern).search(text) is not None) is found


def test_groups_are_bytes():
    """What a group took can be sent on as it is."""
    match = patterns.compiled("(?P<code>[0-9]+) (\\S+)").search(b"220 mail.example ready")
    assert match is not None
    assert match.groups() == (b"220", b"mail.example")
    assert match.group("code") == b"220"
    assert patterns.compiled("(a)(b)").groups == 2


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        pytest.param("a(", "missing )", id="an open group"),
        pytest.param("(?=a)", "look-around", id="look-ahead"),
        pytest.param("(a)\\1", "backreferences", id="a backreference"),
        pytest.param("a{1001}", "repetition", id="too many repetitions"),
        pytest.param("((a{100}){100}){100}", "repetition", id="repetitions that multiply"),
        pytest.param("x" * 10_001, "longer than 10000", id="too long"),
        pytest.param("\ud800", "UTF-8", id="a lone surrogate"),
    ],
)
def test_a_mistake_is_a_sentence(pattern, words, capfd):
    """The sentence names what RE2 refuses, and RE2 writes nothing to standard error by itself."""
    told = patterns.problem(pattern)
    assert told is not None
    assert words in told
    with pytest.raises(ValueError, match=r"pattern|regular expression"):
        patterns.compiled(pattern)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("(\n", "missing ): (\\n"),
        ("(?\x1b[31mb)", "operator: (?\\x1b"),
        ("[[:\x07:]]", "range: [:\\x07:]"),
        ("\\\u202e", "sequence: \\\\u202e"),
    ],
)
def test_a_mistake_is_told_on_one_line(pattern, shown):
    """What RE2 repeats of the pattern cannot begin a line of its own, or steer a terminal."""
    told = patterns.problem(pattern)
    assert told is not None
    assert told.isprintable()
    assert shown in told


def test_a_good_pattern_has_no_problem():
    """Nothing is said of what compiles."""
    assert patterns.problem("^(ok|fine)$") is None


def test_a_pattern_is_compiled_once():
    """The same text gives the same object."""
    assert patterns.compiled("once[0-9]") is patterns.compiled("once[0-9]")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){12}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_hangs(pattern):
    """Patterns that take a backtracking engine exponential time are searched in a 256 KiB text."""
    assert patterns.compiled(pattern).search(b"a" * 262_144 + b"!") is None


def test_the_library_is_loaded_by_the_first_pattern_only():
    """Who has no patterns does not pay for them."""
    code = "import sys, exporter.patterns; sys.exit('re2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@given(st.text(max_size=40), st.binary(max_size=60))
def test_any_text_is_a_pattern_or_a_mistake(pattern, data):
    """Nothing but ValueError comes out, and what compiles can be searched in anything."""
    if patterns.problem(pattern) is None:
        patterns.compiled(pattern).search(data)
