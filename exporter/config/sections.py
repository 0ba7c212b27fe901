"""The top-level keys of the configuration: where the options of each live, and what shape they have.

The options themselves are beside the code that they configure; here are only their names, so that this package
stands below them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from exporter import kinds
from exporter.config import Configuration
from exporter.config.schema import DIALECT, Schema, of_type
from exporter.errors import InvalidConfigurationError

_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
NAME_PATTERN: Final = rf"^([^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?)?$"
"""Names of databases and sources, which become label values: on one line, no space before or behind."""
_TITLE: Final = "Configuration of Watchbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One top-level key. `options` is "module:Class", or the class itself.

    Shapes: `one` object, `optional` (None when left out), `list` (one default entry when left out), `mapping` of
    names to objects, `collector` (a mapping, found below `collectors`).
    """

    word: str
    options: str | type
    shape: Literal["one", "optional", "list", "mapping", "collector"] = "one"
    help: str = ""

    def options_class(self) -> type:
        """Import and return the options class."""
        if isinstance(self.options, type):
            return self.options
        module, _, name = self.options.partition(":")
        found: type = getattr(importlib.import_module(module), name)
        return found

    def type(self) -> Any:
        """Return the type of the value of this key."""
        options: Any = self.options_class()
        if self.shape == "list":
            return tuple[options, ...]
        return Mapping[str, options] if self.is_mapping else options

    @property
    def is_mapping(self) -> bool:
        """Whether the value of this key is a mapping of names to objects."""
        return self.shape in {"mapping", "collector"}

    def default(self) -> Any:
        """Return the value of this key when it is left out."""
        if self.is_mapping:
            return MappingProxyType({})
        if self.shape == "optional":
            return None
        default = self.options_class()()
        return (default,) if self.shape == "list" else default


SECTIONS: Final = (
    Section(
        word="listen",
        options="exporter.web.options:ListenerOptions",
        shape="list",
        help="The addresses to listen on, each with what it serves.",
    ),
    Section(word="store", options="exporter.store.options:StoreOptions", help="Where Watchbridge remembers."),
    Section(
        word="databases",
        options="exporter.databases.options:DatabaseOptions",
        shape="mapping",
        help="The databases that sources read from, by name.",
    ),
    Section(word="scrape", options="exporter.scrape:ScrapeOptions", help="How a scrape is answered."),
    Section(word="log", options="exporter.logs:LogOptions", help="Where the log goes and what it says."),
    Section(word="email", options="exporter.mail:MailOptions", shape="optional", help="How mail leaves."),
)


def all_sections() -> tuple[Section, ...]:
    """Return the sections and those of every collector kind that has options; a kind cannot take another's key.

    InvalidConfigurationError when the module of an installed kind cannot be imported.
    """
    taken = {section.word for section in SECTIONS}
    found = []
    for word in kinds.words("collectors"):
        if word in taken:
            continue
        try:
            module = kinds.load("collectors", word)
        except Exception as error:  # a third party's module may raise anything
            reason = f"the installed collector '{word}' cannot be loaded ({type(error).__name__}): mend or remove it"
            raise InvalidConfigurationError((reason,)) from error
        if (options := getattr(module, "Options", None)) is not None:
            found.append(Section(word=word, options=options, shape="collector", help=_summary(module)))
    return (*SECTIONS, *found)


def _summary(module: object) -> str:
    return (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def composed(sections: tuple[Section, ...], values: Mapping[str, Any]) -> Configuration:
    """Return the Configuration of the values by section; every known collector is in it, an empty one where none."""
    collectors: dict[str, Mapping[str, Any]] = dict.fromkeys(kinds.words("collectors"), MappingProxyType({}))
    collectors |= {section.word: values[section.word] for section in sections if section.shape == "collector"}
    fields = {section.word: values[section.word] for section in sections if section.shape != "collector"}
    return Configuration(**fields, collectors=MappingProxyType(collectors))


def schema_of(sections: tuple[Section, ...]) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a configuration with these sections."""
    properties: Schema = {}
    for section in sections:
        schema = of_type(section.type())
        properties[section.word] = schema | {"title": section.word}
        if section.shape == "list":
            properties[section.word]["minItems"] = 1
        if section.is_mapping:
            properties[section.word]["propertyNames"] = schema["propertyNames"] | {"pattern": NAME_PATTERN}
        if section.help:
            properties[section.word]["description"] = section.help
    return {
        "$schema": DIALECT,
        "title": _TITLE,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
