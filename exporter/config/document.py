"""Strict YAML: plain data with the place of every value, from PyYAML's pure reader, without recursion or surprise.

Only the event stream is used. Aliases, anchors, tags and merge keys are refused, so what is read is as large as what
was written; depth, size and number of values are bounded before anything is built.

Two readers make the events. That of libyaml, thirty times as fast, parses without recursion (only its composer, which
is not used, overflows its stack on deep nesting). The one in Python, which is always there, has the last word on small
files that the other refuses, and reads those with tabs and byte order marks, of which libyaml takes more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from exporter.config import files, syntax
from exporter.config.mistakes import LIMIT as MISTAKES
from exporter.config.mistakes import Mistake, at, refuse, shown
from exporter.config.scalars import Trap, plain
from exporter.config.syntax import DEPTH

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

    from exporter.config.mistakes import Path

SIZE: Final = 8 << 20
"""Bytes of a configuration file: ten thousand services of 800 bytes each."""
VALUES: Final = 250_000
"""Values in a file: ten thousand services of 25 each."""

_SECOND_OPINION: Final = 256 * 1024
"""Characters of a text that is read once more by the reader in Python when libyaml refuses it: a few seconds."""
QUICK: Final = getattr(yaml, "CSafeLoader", None)
"""libyaml's reader; None where PyYAML was built without it."""

_TOLD: Final = Trap("")


class Place(NamedTuple):
    """Where a value and its key stand (from 1), and a scalar's text as it was written."""

    line: int
    column: int
    key_line: int
    key_column: int
    raw: str | None = None
    is_plain: bool = False


class Document(NamedTuple):
    """What a file says. `data` may hold Traps; `mistakes` are those that no schema is needed to see."""

    name: str
    data: Any
    places: dict[Path, Place]
    mistakes: list[Mistake]

    def place(self, path: Path) -> Place:
        """Return the place of a value, or of the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1, 1, 1))

    def mistake(self, path: Path, sentence: str, *, key: bool = False) -> Mistake:
        """Return a mistake at the value (or at its key) with the path before the sentence."""
        place = self.place(path)
        line, column = (place.key_line, place.key_column) if key else (place.line, place.column)
        return Mistake(line, column, at(path, sentence))


def read_file(path: pathlib.Path) -> str:
    """Return the text of a configuration file; InvalidConfigurationError says why it cannot be read."""
    try:
        return files.text(files.read(path, SIZE).data)
    except ValueError as error:
        raise refuse(str(path), [Mistake(0, 0, str(error))]) from error


def read(text: str, name: str, expander: Callable[[], Callable[[str], str]] = lambda: str) -> Document:
    """Return the document; an empty one is an empty mapping. `expander` makes what is put on each text that is a value.

    InvalidConfigurationError when the text is no YAML at all or crosses a bound: there is nothing to read on then.
    """
    if len(text) > SIZE:
        raise refuse(name, [Mistake(0, 0, f"is larger than {SIZE // 1024} KiB: make it smaller")])
    if unprintable := yaml.reader.Reader.NON_PRINTABLE.search(text):
        raise refuse(name, [syntax.unprintable(text, unprintable.start())])
    readers = [yaml.SafeLoader]
    if QUICK is not None and "\t" not in text and "\ufeff" not in text:
        readers = [QUICK, yaml.SafeLoader] if len(text) <= _SECOND_OPINION else [QUICK]
    for reader in readers:
        try:
            return _read(text, name, reader, expander())
        except _RefusedError as refused:
            mistakes = refused.mistakes
    raise refuse(name, mistakes)


class _RefusedError(Exception):
    """A reader found no YAML."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__()


def _read(text: str, name: str, reader: Any, expand: Callable[[str], str]) -> Document:
    document = Document(name, {}, {}, [])
    try:
        data = _Builder(yaml.parse(text, Loader=reader), document, expand).document()
    except _StopError as stop:
        raise refuse(name, [*document.mistakes, stop.args[0]]) from stop
    except yaml.MarkedYAMLError as error:
        raise _RefusedError([*document.mistakes, syntax.syntax(error)]) from error
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode; PyYAML lets chr() speak
        raise _RefusedError([syntax.escape(text)]) from error
    return document._replace(data=data)


class _StopError(Exception):
    """Reading cannot go on: its argument is the mistake."""


class _Builder:
    """Builds plain data from the events, at most DEPTH calls deep."""

    def __init__(self, events: Iterator[Any], document: Document, expand: Callable[[str], str]) -> None:
        self.events = events
        self.at = document
        self.expand = expand
        self.left = VALUES

    def document(self) -> Any:
        next(self.events)  # the start of the stream
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return {}
        value = self.value(next(self.events), (), None)
        next(self.events)  # the end of the document
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.stop(event, "a second document begins here ('---'): keep one document in a file")
        return {} if isinstance(value, Trap) and not value.text else value

    def stop(self, event: Any, sentence: str) -> _StopError:
        mark = event.start_mark
        return _StopError(Mistake(mark.line + 1, mark.column + 1, sentence))

    def complain(self, event: Any, path: Path, sentence: str) -> None:
        mark = event.start_mark
        self.at.mistakes.append(Mistake(mark.line + 1, mark.column + 1, at(path, sentence)))
        if len(self.at.mistakes) > MISTAKES:
            raise self.stop(event, "too many mistakes to read on")

    def value(self, event: Any, path: Path, key: Any) -> Any:
        self.left -= 1
        if len(path) > DEPTH:
            raise self.stop(event, f"nested deeper than {DEPTH} levels: make it flatter")
        if self.left < 0:
            raise self.stop(event, f"more than {VALUES} values in one file: make it smaller")
        if isinstance(event, yaml.AliasEvent):
            self.at.places[path] = _place(event, key)
            self.complain(event, path, "an alias (*name) is not supported: write the value out, or quote the text")
            return _TOLD
        told = (event.anchor is not None or event.tag is not None) and self.properties(event, path)
        value = self.content(event, path, key)
        return _TOLD if told else value

    def content(self, event: Any, path: Path, key: Any) -> Any:
        self.at.places[path] = _place(event, key)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path)

    def properties(self, event: Any, path: Path) -> bool:
        if event.anchor is not None:
            self.complain(event, path, "an anchor (&name) is not supported: remove it, or quote the text")
        if event.tag is not None:
            self.complain(event, path, "a tag (!name) is not supported: remove it, or quote the text")
        return event.anchor is not None or event.tag is not None

    def scalar(self, event: Any, path: Path) -> Any:
        value = event.value if event.style else plain(event.value)
        if not isinstance(value, str):
            return value
        try:
            value = self.expand(value)
            if not value.isascii():
                value.encode()
        except UnicodeEncodeError:
            self.complain(event, path, "holds half a character (a lone surrogate): write the whole character")
            return _TOLD
        except ValueError as error:
            self.complain(event, path, str(error))
            return _TOLD
        return value

    def sequence(self, path: Path) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self.value(event, (*path, len(values)), None))
        return values

    def mapping(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            word = self.key(key, path, values)
            if word is None:
                self.skip(key)
                self.skip(next(self.events))
            else:
                values[word] = self.value(next(self.events), (*path, word), key)
        return values

    def key(self, event: Any, path: Path, values: dict[str, Any]) -> str | None:
        """Return the word of a key, or None after telling why it cannot be one."""
        if not isinstance(event, yaml.ScalarEvent):
            self.complain(event, path, "a key must be a text, not a list, a mapping or an alias")
            return None
        self.properties(event, path)
        word: str = event.value
        is_plain = not event.style
        if is_plain and word == "<<":
            self.complain(event, path, "a merge key (<<) is not supported: write the keys out")
        elif is_plain and not _is_text(word):
            self.complain(event, path, f"the key {shown(word)} is read as something else than a text: quote it")
        elif word in values:
            first = self.at.places[*path, word].key_line
            self.complain(event, path, f"the key {shown(word)} stands here again, first on line {first}: keep one")
        elif any("\ud800" <= character <= "\udfff" for character in word):
            self.complain(event, path, "a key holds half a character (a lone surrogate): write the whole character")
        else:
            return word
        return None

    def skip(self, event: Any) -> None:
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth <= 0:
                return
            if depth > DEPTH:
                raise self.stop(event, f"nested deeper than {DEPTH} levels: make it flatter")
            event = next(self.events)


def _place(event: Any, key: Any) -> Place:
    mark, key_mark = event.start_mark, (key or event).start_mark
    line, column, key_line, key_column = mark.line + 1, mark.column + 1, key_mark.line + 1, key_mark.column + 1
    if not isinstance(event, yaml.ScalarEvent):
        return Place(line, column, key_line, key_column)
    is_plain = not event.style
    if key is not None and is_plain and not event.value:
        # Where nothing stands is for the readers to say, and they differ: behind the key's colon.
        line, column = key.end_mark.line + 1, key.end_mark.column + 2
    return Place(line, column, key_line, key_column, event.value, is_plain)


def _is_text(word: str) -> bool:
    # As a key `on` can be nothing but a word; numbers, dates, true and null could be meant as what they are.
    return word.lower() in {"on", "off", "yes", "no"} or isinstance(plain(word), str)
