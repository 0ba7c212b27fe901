"""Alertmanager's matchers: a label's name, an operator and a value; all of a list must match.

The syntax is that of Alertmanager's `matchers`: `name="value"`, `name!="value"`, `name=~"pattern"`, `name!~"pattern"`,
several of them separated by commas, with or without braces around. Since 0.27 Alertmanager reads a text in two ways:
the classic one, which has names of ASCII letters and takes values without quotes, and the UTF-8 one, which has quoted
names. Where both can read a text the classic one decides, and so it is here. Patterns are RE2 and match the whole
value; a label that is absent is the empty text. Names and values are NFC, as those of alerts are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, cast
from unicodedata import normalize

from exporter import patterns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Operator = Literal["=", "!=", "=~", "!~"]

# What Go takes for white space: unicode.IsSpace, and \s in its regular expressions.
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
_ASCII_SPACE: Final = "\t\n\f\r "
_RESERVED: Final = "{}!=~,\\\\\"'`" + _SPACE

_NEEDS_QUOTES: Final = re.compile(f"[{_RESERVED}]|\\A\\Z")
_TOKEN: Final = re.compile(
    rf"""(?P<brace>[{{}}])|(?P<comma>,)|(?P<operator>=~|=|!=|!~)"""
    rf"""|(?P<quoted>"[^"\\]*(?:\\.[^"\\]*)*")|(?P<plain>[^{_RESERVED}]+)|(?P<space>[{_SPACE}]+)""",
    re.DOTALL,
)
_CLASSIC: Final = re.compile(
    rf"[{_ASCII_SPACE}]*([a-zA-Z_:][a-zA-Z0-9_:]*)[{_ASCII_SPACE}]*(=~|=|!=|!~)(.*)", re.DOTALL
)
_CLASSIC_ESCAPE: Final = re.compile(r'\\([n"\\])')
_SIMPLE_ESCAPES: Final = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))
_GO_ESCAPE: Final = re.compile(
    r'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(\n)', re.DOTALL
)


class _PatternError(ValueError):
    """A list of matchers that could be read, but for a pattern."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher that has been read. ValueError when its pattern is none, or a text cannot be UTF-8.

    It prints as Alertmanager prints it, and what it prints is read as the same matcher.
    """

    name: str
    operator: Operator
    value: str
    _pattern: patterns.Pattern | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _composed(self.name))
        object.__setattr__(self, "value", _composed(self.value))
        if self.operator in {"=~", "!~"}:
            object.__setattr__(self, "_pattern", _whole(self.name, self.value))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels match."""
        value = labels.get(self.name, "")
        if self._pattern is None:
            return (value == self.value) is (self.operator == "=")
        return _found(cast("Any", self._pattern), value) is (self.operator == "=~")

    def __str__(self) -> str:
        if _NEEDS_QUOTES.search(self.name):
            return f"{_quoted(self.name)}{self.operator}{_quoted(self.value)}"
        value = self.value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        return f'{self.name}{self.operator}"{value}"'


@lru_cache(maxsize=8192)  # a thousand alerts of one group differ in few of their labels
def _found(pattern: patterns.Pattern, value: str) -> bool:
    return pattern.search(value.encode(errors="replace")) is not None


def parse(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of one text; ValueError says what is wrong and where. An empty text has none."""
    _composed(text)
    try:
        return tuple(_classic(text))
    except ValueError as error:
        first = error
    try:
        return tuple(_utf8(text))
    except ValueError as error:
        # The UTF-8 reader knows the place; a pattern that only the classic one got to is told by that.
        raise (first if isinstance(first, _PatternError) else error) from None


def compiled(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """Return the matchers of several texts in their order; ValueError as `parse`."""
    return tuple(one for text in texts for one in parse(text))


def every(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Return whether all of the matchers match; none at all match everything."""
    return all(one.matches(labels) for one in matchers)


def _composed(text: str) -> str:
    if text.isascii():
        return text
    if (found := re.search("[\ud800-\udfff]", text)) is not None:
        raise ValueError(f"a matcher holds U+{ord(found[0]):04X}, which cannot be UTF-8: leave it out")
    return normalize("NFC", text)


def _whole(name: str, text: str) -> patterns.Pattern:
    """Return the pattern as Alertmanager anchors it, so that `a)|(b` is one here as it is there."""
    try:
        return patterns.compiled(f"^(?:{text})$")
    except ValueError as error:
        told = patterns.problem(text) or str(error)
        # RE2 repeats the part that it did not understand as it is.
        line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in told)
        raise _PatternError(f"in the matcher of {_shown(name)}, {line}") from None


def _classic(text: str) -> Iterator[Matcher]:
    """Yield the matchers as Alertmanager before 0.27 reads them; ValueError where that cannot."""
    parts = list(_classic_parts(text.removeprefix("{").removesuffix("}")))
    last = parts.pop().strip(_SPACE)
    for part in [*parts, last] if last else parts:
        found = _CLASSIC.fullmatch(part)
        if found is None:
            raise ValueError("no name and operator")
        operator = cast("Operator", found[2])
        yield Matcher(found[1], operator, _classic_value(found[3].strip(_ASCII_SPACE)))


def _classic_parts(text: str) -> Iterator[str]:
    """Yield what stands between commas outside of quotes; at least one text."""
    begin, quoted, escaped = 0, False, False
    for at, character in enumerate(text):
        if character == ",":
            # Of no effect on `escaped`: that is how Alertmanager has it.
            if not quoted:
                yield text[begin:at]
                begin = at + 1
        elif character == "\\":
            escaped = not escaped
        else:
            quoted ^= character == '"' and not escaped
            escaped = False
    yield text[begin:]


def _classic_value(raw: str) -> str:
    """Return what a value says, whether it stands in quotes or not."""
    inner = raw.removeprefix('"')
    bare = _CLASSIC_ESCAPE.sub("_", inner)
    if raw.startswith('"'):
        if not bare.endswith('"'):
            raise ValueError("no quote at the end")
        inner, bare = inner[:-1], bare[:-1]
    if '"' in bare:
        raise ValueError("a quote inside")
    return _CLASSIC_ESCAPE.sub(lambda one: "\n" if one[1] == "n" else one[1], inner)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _utf8(text: str) -> Iterator[Matcher]:
    """Yield the matchers as Alertmanager's UTF-8 parser reads them; ValueError says what is wrong and where."""
    tokens = [*_tokens(text), _Token("end", "", len(text))]
    braces = tokens[0].text == "{"  # quoted ones have their quotes
    at = int(braces)
    while tokens[at].kind in {"plain", "quoted"}:
        name, operator, value = tokens[at], tokens[at + 1], tokens[min(at + 2, len(tokens) - 1)]
        if operator.kind != "operator":
            _unexpected(operator, "an operator (=, !=, =~ or !~)")
        if value.kind not in {"plain", "quoted"}:
            _unexpected(value, 'a value, such as "this"')
        yield Matcher(_unquoted(name), cast("Operator", operator.text), _unquoted(value))
        at += 3
        if tokens[at].kind != "comma":
            break
        at += 1
    _ended(tokens, at, braces=braces)


def _ended(tokens: Sequence[_Token], at: int, *, braces: bool) -> None:
    """Refuse what comes after the last matcher, but for the brace that was opened."""
    begins = at == int(braces)
    if tokens[at].text == "}" and braces:
        at, braces = at + 1, False
        begins = False
    if braces and tokens[at].kind == "end":
        _unexpected(tokens[at], "the closing }")
    if tokens[at].kind != "end":
        before = tokens[at - 1].kind
        _unexpected(tokens[at], "a label's name" if begins or before == "comma" else "a comma or the end")


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            if text[at] == '"':
                raise ValueError(f'the quote at character {at + 1} has no end: add a "')
            hint = "write one of the operators =, !=, =~ and !~"
            if text[at] in "'`\\":
                hint = "put the text in double quotes"
            raise ValueError(f"{_shown(text[at])} at character {at + 1} cannot stand outside of quotes: {hint}")
        if found.lastgroup != "space":
            yield _Token(str(found.lastgroup), found[0], at)
        at = found.end()


def _unexpected(token: _Token, wanted: str) -> NoReturn:
    if token.kind == "end":
        raise ValueError(f"the matchers end where {wanted} should be")
    raise ValueError(f"{_shown(token.text)} at character {token.at + 1} stands where {wanted} should be")


def _unquoted(token: _Token) -> str:
    """Return what a token says; quoted ones are Go's string literals."""
    if token.kind == "plain":
        return token.text
    try:
        return _GO_ESCAPE.sub(_unescaped, token.text[1:-1]).encode("utf-8", "surrogateescape").decode()
    except ValueError:
        raise ValueError(
            f"the quoted text at character {token.at + 1} holds an escape or a line end that Go does not know: "
            'write \\\\ for a backslash, \\" for a quote and \\n for a line end'
        ) from None


def _unescaped(found: re.Match[str]) -> str:
    simple, hexadecimal, octal, short, long, unknown, line_end = found.groups()
    if simple:
        return _SIMPLE_ESCAPES[simple]
    if hexadecimal or octal:
        # Single bytes: what they make together must be UTF-8.
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)]).decode("utf-8", "surrogateescape")
    if unknown or line_end or "\ud800" <= (character := chr(int(short or long, 16))) <= "\udfff":
        raise ValueError
    return character


def _quoted(text: str) -> str:
    """Return a text as Go quotes it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character.isprintable() and character not in '\\"':
        return character
    for letter, meant in _SIMPLE_ESCAPES.items():
        if character == meant:
            return "\\" + letter
    code = ord(character)
    if code < 0x80:  # noqa: PLR2004 -- ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 -- the Basic Multilingual Plane


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:39] + "...")  # noqa: PLR2004 -- what fits a line
