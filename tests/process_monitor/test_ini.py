"""An INI file is read as people write them, and what is not clear is told by its line, never by what it says."""

from __future__ import annotations

import pytest

from exporter.process_monitor import ini, keys


def read(text):
    found = ini.read(text, keys.known)
    sections = {
        name: {key: entry.value for key, entry in section.entries.items()} for name, section in found.sections.items()
    }
    return sections, [(mistake.line, mistake.column, mistake.sentence) for mistake in found.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("restart_command=/opt/a b", "/opt/a b"),
        ("restart_command = /opt/a b  ", "/opt/a b"),
        ("restart_command: /opt/a b", "/opt/a b"),
        ("restart_command=curl -f http://a.example/?b=c:d", "curl -f http://a.example/?b=c:d"),
        ("restart_command: a=b", "a=b"),
        ("restart_command=date +%d %(x)s 100%", "date +%d %(x)s 100%"),
        ("restart_command=a ; b # c", "a ; b # c"),
        ("# a\n; b\n  # c\n\nrestart_command=a", "a"),
        ("  restart_command=a", "a"),
        ("\trestart_command=a", "a"),
        ("max_attempts=2\n  restart_command=a", "a"),
        ("restart_command=a\n  b\n\tc = d", "a\nb\nc = d"),
        ("restart_command=a\n  # no part of it\n  b", "a\nb"),
        ("restart_command=a\n  [ -f b ] && c", "a\n[ -f b ] && c"),
        ("restart_command=", ""),
        ("restart_command=é 😀", "é 😀"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_value_is_what_stands_behind_its_key(text, value, end):
    """Whatever the ends of lines are; nothing is filled in, nothing cut off."""
    sections, mistakes = read(f"[process.a]\n{text}\n".replace("\n", end))
    assert mistakes == []
    assert sections["process.a"]["restart_command"] == value


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("[process.a]", "process.a"),
        ("  [process.a]  ", "process.a"),
        ("[ process.a ]", "process.a"),
        ("[process.a b]", "process.a b"),
        ("[process.a]  # the first", "process.a"),
        ("[process.a];", "process.a"),
        ("[process.-Hlocalhost]", "process.-Hlocalhost"),
        ("[process.é]", "process.é"),
        ("[]", ""),
    ],
)
def test_a_section_is_named_by_what_stands_in_its_brackets(header, name):
    assert read(f"[monitor]\n{header}\nmax_attempts=2") == ({"monitor": {}, name: {"max_attempts": "2"}}, [])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("s3cret", 1, "no section, no key"),
        ("[database]\npassword s3cret", 2, "no section, no key"),
        ("[database]\n=s3cret", 2, "no section, no key"),
        ("password=s3cret", 1, "before the first section"),
        ("[database\nuser=s3cret", 1, "a section is written [name]"),
        ("[database] s3cret", 1, "a section is written [name]"),
        ("[a[b]]", 1, "a section is written [name]"),
        ("[database]\nuser=a\npassword=b\nuser=s3cret", 4, "this key stands here again, first on line 2: keep one"),
        ("[database]\nuser=a\n[monitor]\n[database]", 4, "this section stands here again, first on line 1: keep one"),
        ("[database]\nuser=a\x00s3cret", 2, "cannot be seen"),
        ("[database]\nuser=a\u202es3cret", 2, "cannot be seen"),
        ("[database]\nuser=a\x1b[31ms3cret", 2, "cannot be seen"),
        ("[database]\nuser=a\n\n  s3cret", 4, "no section, no key"),
    ],
)
def test_what_is_not_clear_is_told_by_its_line(text, line, words):
    """One sentence each; no part of a line is repeated, since it may be a password."""
    _, mistakes = read(text)
    assert [mistake[0] for mistake in mistakes] == [line]
    assert words in mistakes[0][2]
    assert "s3cret" not in mistakes[0][2]


def test_the_first_of_two_stands_and_its_section_is_marked():
    """Nobody knows which of them the old monitor took."""
    found = ini.read("[process.a]\nmax_attempts=1\nmax_attempts=2\n[process.b]\nmax_attempts=3\n", keys.known)
    assert {name: section.spoilt for name, section in found.sections.items()} == {"process.a": True, "process.b": False}
    assert found.sections["process.a"].entries["max_attempts"].value == "1"
    assert (found.sections["process.b"].entries["max_attempts"].line) == 5
