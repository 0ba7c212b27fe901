"""Matchers are Alertmanager's: what it takes is taken and means the same, what it refuses is refused with its place."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shipped.tools import program

from exporter import matchers
from exporter.matchers import Matcher

ACCEPTED = [
    pytest.param('foo="bar"', [("foo", "=", "bar")], id="a quoted value"),
    pytest.param("foo=bar", [("foo", "=", "bar")], id="a bare value"),
    pytest.param("foo!=bar", [("foo", "!=", "bar")], id="not equal"),
    pytest.param('foo=~"ba.*"', [("foo", "=~", "ba.*")], id="a pattern"),
    pytest.param('foo!~"ba.*"', [("foo", "!~", "ba.*")], id="not a pattern"),
    pytest.param("foo=~bar|baz", [("foo", "=~", "bar|baz")], id="a bare pattern"),
    pytest.param(' foo \t=  "bar" ', [("foo", "=", "bar")], id="white space"),
    pytest.param('foo=" bar "', [("foo", "=", " bar ")], id="white space in quotes"),
    pytest.param('foo=""', [("foo", "=", "")], id="the empty value"),
    pytest.param("foo=", [("foo", "=", "")], id="nothing for a value"),
    pytest.param('{foo="bar"}', [("foo", "=", "bar")], id="braces"),
    pytest.param('{foo="bar",}', [("foo", "=", "bar")], id="a comma at the end"),
    pytest.param('foo="bar", ', [("foo", "=", "bar")], id="a comma at the end, without braces"),
    pytest.param('a="b",c=~"d"', [("a", "=", "b"), ("c", "=~", "d")], id="two"),
    pytest.param('{a="b", c!~"d", e!="f"}', [("a", "=", "b"), ("c", "!~", "d"), ("e", "!=", "f")], id="three"),
    pytest.param('foo="a,b"', [("foo", "=", "a,b")], id="a comma in quotes"),
    pytest.param('foo="a}"', [("foo", "=", "a}")], id="a brace in quotes"),
    pytest.param(r'foo="say \"hi\""', [("foo", "=", 'say "hi"')], id="quotes in quotes"),
    pytest.param(r'foo="a\\b"', [("foo", "=", r"a\b")], id="a backslash"),
    pytest.param(r'foo="a\nb"', [("foo", "=", "a\nb")], id="a line end"),
    pytest.param(r'foo=~"\\d+"', [("foo", "=~", r"\d+")], id="a class, escaped"),
    pytest.param(r'foo=~"\d+"', [("foo", "=~", r"\d+")], id="a class, not escaped"),
    pytest.param(r"foo=~\d+", [("foo", "=~", r"\d+")], id="a class, bare"),
    pytest.param(r'foo="\t"', [("foo", "=", r"\t")], id="an escape that the classic reader leaves as it is"),
    pytest.param("foo=bar baz", [("foo", "=", "bar baz")], id="a space in a bare value"),
    pytest.param("foo==bar", [("foo", "=", "=bar")], id="an operator in a bare value"),
    pytest.param("foo=b'r", [("foo", "=", "b'r")], id="a single quote in a bare value"),
    pytest.param("a:b=c", [("a:b", "=", "c")], id="a colon in a name"),
    pytest.param("foo=日本", [("foo", "=", "日本")], id="a value outside of ASCII"),
    pytest.param("{foo=bar", [("foo", "=", "bar")], id="a brace that is not closed"),
    pytest.param("foo=bar}", [("foo", "=", "bar")], id="a brace that is not opened"),
    pytest.param('foo=~"a)|(b"', [("foo", "=~", "a)|(b")], id="a pattern that is one in its anchors"),
    pytest.param("{}", [], id="braces around nothing"),
    pytest.param("", [], id="nothing"),
]

SINCE_0_27 = [
    pytest.param('"foo"="bar"', [("foo", "=", "bar")], id="a quoted name"),
    pytest.param('"foo bar"="x"', [("foo bar", "=", "x")], id="a name with a space"),
    pytest.param('{"foo.bar"=~"x", a=b}', [("foo.bar", "=~", "x"), ("a", "=", "b")], id="a name with a dot, quoted"),
    pytest.param("foo.bar=x", [("foo.bar", "=", "x")], id="a name with a dot"),
    pytest.param("9=x", [("9", "=", "x")], id="a name that begins with a digit"),
    pytest.param("größe=x", [("größe", "=", "x")], id="a name outside of ASCII"),
    pytest.param(r'"a"="\t\u00e9\x41\xc3\xa9\101"', [("a", "=", "\téAéA")], id="Go's escapes"),
    pytest.param(r'"a\"b"="x"', [('a"b', "=", "x")], id="a quote in a name"),
    pytest.param(r'foo=~"(\x29"', [("foo", "=~", "()")], id="a pattern that only the UTF-8 reader understands"),
    pytest.param('"gro\u0308ße"="e\u0301"', [("größe", "=", "é")], id="NFD becomes NFC, as the labels of alerts do"),
]

REFUSED = [
    pytest.param("foo", "end where an operator", id="no operator"),
    pytest.param("foo bar", "'bar' at character 5", id="no operator, but a value"),
    pytest.param("=bar", "'=' at character 1 stands where a label's name", id="no name"),
    pytest.param("foo~bar", "'~' at character 4", id="no operator of ours"),
    pytest.param("foo<bar", "end where an operator", id="another operator"),
    pytest.param('foo="bar', "quote at character 5", id="a quote without an end"),
    pytest.param('foo=bar"', "quote at character 8", id="a quote at the end alone"),
    pytest.param('foo="a"b"', "quote at character 9", id="a quote in the middle"),
    pytest.param('foo="a" b', "'b' at character 9 stands where a comma", id="more behind the value"),
    pytest.param(",", "',' at character 1 stands where a label's name", id="a comma alone"),
    pytest.param("foo=bar,,a=b", "',' at character 9", id="two commas"),
    pytest.param(",foo=bar", "',' at character 1", id="a comma first"),
    pytest.param("{{foo=bar}}", "'{' at character 2", id="two braces"),
    pytest.param("foo=~(", "missing )", id="no pattern"),
    pytest.param('foo=~"[a-"', "in the matcher of 'foo'", id="no class of characters"),
    pytest.param('foo=~"(?=a)"', "look-around", id="look-around"),
    pytest.param('a=b,foo=~"*"', "in the matcher of 'foo'", id="no pattern in the second"),
]

REFUSED_SINCE_0_27 = [
    pytest.param('{"foo"=bar', "end where the closing }", id="a quoted name, no closing brace"),
    pytest.param('"foo"=bar}', "'}' at character 10", id="a quoted name, no opening brace"),
    pytest.param('"foo"=', "end where a value", id="a quoted name, no value"),
    pytest.param("'foo'='bar'", '"\'" at character 1', id="single quotes"),
    pytest.param(r'"foo"="\q"', "character 7", id="a quoted name, an unknown escape"),
    pytest.param(r'"foo"="\ud800"', "character 7", id="a quoted name, a surrogate"),
    pytest.param(r'"foo"="\xff"', "character 7", id="a quoted name, a byte that is not UTF-8"),
    pytest.param(r'"foo"="\777"', "character 7", id="a quoted name, an octal number beyond a byte"),
    pytest.param('"foo"="a\nb"', "character 7", id="a quoted name, a raw line end"),
    pytest.param('"foo"=~"("', "in the matcher of 'foo'", id="a quoted name, no pattern"),
    pytest.param("foo=\ud800", "U+D800", id="a lone surrogate"),
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("{}!=~,\\\"'` \t\n\x85n}"), max_size=12)
LABELS = st.dictionaries(st.sampled_from(["a", "b", "ü"]), st.sampled_from(["", "x", "y", "x\ny", "日本"]))
READ = st.builds(Matcher, TEXTS, st.sampled_from(["=", "!="]), TEXTS) | st.builds(
    Matcher, TEXTS, st.sampled_from(["=~", "!~"]), st.sampled_from(["", "x|y", ".*", "(?i)X", r"\w+", "a)|(b", "日."])
)


@pytest.mark.parametrize(("text", "read"), [*ACCEPTED, *SINCE_0_27])
def test_a_text_is_read(text, read):
    """Names, operators and values, in their order."""
    assert [(one.name, one.operator, one.value) for one in matchers.parse(text)] == read


@pytest.mark.parametrize(("text", "place"), [*REFUSED, *REFUSED_SINCE_0_27])
def test_a_text_that_is_refused(text, place):
    """One sentence says what is wrong and where."""
    with pytest.raises(ValueError, match=re.escape(place)) as caught:
        matchers.parse(text)
    assert str(caught.value).isprintable()


@pytest.fixture(scope="module")
def amtool():
    return program("amtool", "prometheus-alertmanager")


def routes(path, texts):
    """Write a configuration of Alertmanager's in which each text leads to a receiver of its number."""
    names = [f"r{number}" for number in range(len(texts))]
    several = [
        {"receiver": name, "matchers": [text], "continue": True} for name, text in zip(names, texts, strict=True)
    ]
    receivers = [{"name": name} for name in ["none", *names]]
    path.write_text(json.dumps({"route": {"receiver": "none", "routes": several}, "receivers": receivers}), "utf-8")
    return path


@pytest.mark.parametrize(
    "labels",
    [
        {"foo": "bar"},
        {"foo": ""},
        {"foo": "baz", "a": "b"},
        {"a": "b", "c": "d"},
        {"a": "b", "c": "x", "e": "y"},
        {"foo": "a,b"},
        {"foo": "42"},
        {"foo": "d+"},
        {"foo": "日本"},
        {"foo": "b"},
        {"foo": "a\nb"},
        {"foo": 'say "hi"'},
        {"foo": "a\\b"},
        {"other": "x"},
    ],
    ids=str,
)
def test_alertmanager_matches_the_same(amtool, tmp_path, labels):
    """The real amtool routes by each accepted text: an alert reaches the receivers whose matchers match here."""
    texts = [param.values[0] for param in ACCEPTED]
    path = routes(tmp_path / "alertmanager.yml", texts)
    given_labels = [str(Matcher(name, "=", value)) for name, value in labels.items()]
    done = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={path}", *given_labels],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = [f"r{number}" for number, text in enumerate(texts) if matchers.every(matchers.parse(text), labels)]
    assert done.stdout.strip().split(",") == (ours or ["none"])


@pytest.mark.parametrize(("text", "place"), REFUSED)
def test_alertmanager_refuses_the_same(amtool, tmp_path, text, place):
    """The real amtool finds no matchers in it either."""
    path = routes(tmp_path / "alertmanager.yml", [text])
    done = subprocess.run([amtool, "check-config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        pytest.param("foo=bar", 'foo="bar"', id="a bare value"),
        pytest.param(r'foo=~"\d\"\n"', r'foo=~"\\d\"\n"', id="escapes"),
        pytest.param("größe=x", 'größe="x"', id="a name that needs no quotes"),
        pytest.param(r'"a b"="\té\u00a0\x00"', r'"a b"="\té\u00a0\x00"', id="a name that needs quotes"),
        pytest.param(r'"a\U000e0001 "=b', r'"a\U000e0001 "="b"', id="beyond the Basic Multilingual Plane"),
    ],
)
def test_a_matcher_prints_as_alertmanager_prints_it(text, printed):
    """What `amtool` shows and what we show can be compared."""
    [one] = matchers.parse(text)
    assert str(one) == printed


@given(READ)
def test_what_a_matcher_prints_is_read_as_the_same(one):
    """For every name and every value."""
    assert matchers.parse(str(one)) == (one,)


@given(st.lists(READ, min_size=1, max_size=4))
def test_a_list_in_braces_is_the_list(several):
    """Commas and braces in names and values do not matter."""
    assert matchers.parse("{" + ", ".join(map(str, several)) + "}") == tuple(several)
    assert matchers.compiled([str(one) for one in several]) == tuple(several)


@given(st.sampled_from(["a", "ü", "c"]), st.sampled_from(["", "x", "x|y", ".+", "x\ny", "日本"]), LABELS)
def test_operators_are_complements(name, value, labels):
    """Of = and !=, and of =~ and !~, one matches."""
    assert Matcher(name, "=", value).matches(labels) is not Matcher(name, "!=", value).matches(labels)
    assert Matcher(name, "=~", value).matches(labels) is not Matcher(name, "!~", value).matches(labels)
    assert Matcher(name, "=", value).matches(labels) is (labels.get(name, "") == value)


@given(TEXTS | st.text())
def test_any_text_is_read_or_refused(text):
    """Nothing but ValueError comes out."""
    try:
        read = matchers.parse(text)
    except ValueError:
        return
    assert matchers.compiled([str(one) for one in read]) == read


@pytest.mark.parametrize(
    ("text", "labels", "matched"),
    [
        pytest.param('foo=""', {}, True, id="an absent label is the empty text"),
        pytest.param('foo!="x"', {}, True, id="an absent label is not a value"),
        pytest.param('foo=~".*"', {}, True, id="anything takes an absent label"),
        pytest.param('foo=~".+"', {}, False, id="something does not"),
        pytest.param("foo=~ba", {"foo": "bar"}, False, id="a pattern matches the whole value"),
        pytest.param("foo=~a|bar", {"foo": "bar"}, True, id="each branch of a pattern is the whole"),
        pytest.param("foo=~BAR", {"foo": "bar"}, False, id="B06 case is told apart"),
        pytest.param("foo=p\u0430y", {"foo": "pay"}, False, id="B06 homoglyphs are told apart"),
        pytest.param("foo=~a.c", {"foo": "aéc"}, True, id="a dot takes a character of UTF-8"),
        pytest.param("foo=~a.c", {"foo": "a\nc"}, False, id="a dot takes no line end"),
        pytest.param("foo=~a$", {"foo": "a\n"}, False, id="the end is the end"),
        pytest.param("foo=~.", {"foo": "\ud800"}, True, id="a value that is no UTF-8 does not hurt"),
        pytest.param("foo=~(a+)+$", {"foo": "a" * 5000 + "b"}, False, id="B17 no pattern hangs"),
    ],
)
def test_labels_match(text, labels, matched):
    """As Alertmanager has it."""
    assert matchers.every(matchers.parse(text), labels) is matched


def test_a_matcher_is_a_value():
    """It can be a member of a set, and cannot be changed."""
    one, other = matchers.compiled(['a=~"b"', "a=~b"])
    assert {one, other} == {one}
    assert repr(one) == "Matcher(name='a', operator='=~', value='b')"
    with pytest.raises(AttributeError):
        one.value = "c"


def test_no_matchers_match_everything():
    """A rule without any is for all alerts."""
    assert matchers.every((), {})
