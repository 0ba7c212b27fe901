"""The top-level keys of the configuration: where the options of each live, and what shape they have.

The options themselves are beside the code that they configure; here are only their names, so that this package
stands below them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter import kinds
from exporter.config import Configuration
from exporter.config.choices import published, summary
from exporter.config.options import NO_FACTS, Facts
from exporter.config.schema import DIALECT, Schema, of_type
from exporter.errors import InvalidConfigurationError
from exporter.model import MODES

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
NAME_PATTERN: Final = rf"^([^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?)?$"
"""Names of databases and sources, which become label values: on one line, no space before or behind."""
_TITLE: Final = "Configuration of Watchbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One top-level key. `options` is "module:Class", or the class itself.

    Shapes: `one` object, `optional` (None when left out), `list` (one default entry when left out), `many` (a list,
    empty when left out), `mapping` of names to objects, `collector` (a mapping, found below `collectors`).

    Instead of a class there may be any other type that an option can have, whose bounds are in `facts`. `check` is
    "module:function": asked with the configuration, it yields (path, sentence) for what no object sees alone.
    """

    word: str
    options: str | type
    shape: Literal["one", "optional", "list", "many", "mapping", "collector"] = "one"
    help: str = ""
    facts: Facts = NO_FACTS
    check: str = ""

    def options_class(self) -> Any:
        """Import and return the options class, or the type that stands for one."""
        return self.options if isinstance(self.options, type) else _imported(self.options)

    def schema(self) -> Schema:
        """Return the schema of the value of this key."""
        schema = of_type(self.type(), self.facts) | {"title": self.word}
        if self.shape == "list":
            schema["minItems"] = 1
        if self.is_mapping:
            schema["propertyNames"] = schema["propertyNames"] | {"pattern": NAME_PATTERN}
        if self.help:
            schema["description"] = self.help
        if self.facts.example is not None:
            schema["examples"] = [self.facts.example]
        return schema

    def problems(self, configuration: Configuration) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield what the section's own check finds, each with its path from the top."""
        if self.check:
            yield from _imported(self.check)(configuration)

    def type(self) -> Any:
        """Return the type of the value of this key."""
        options: Any = self.options_class()
        if self.is_list:
            return tuple[options, ...]
        return Mapping[str, options] if self.is_mapping else options

    @property
    def is_list(self) -> bool:
        """Whether the value of this key is a list of objects."""
        return self.shape in {"list", "many"}

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
        if self.shape == "many":
            return ()
        default = self.options_class()()
        return (default,) if self.shape == "list" else default


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


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
    Section(
        word="services",
        options="exporter.services.options:ServiceOptions",
        shape="mapping",
        help="What is up, degraded or down, by name: the label `target`.",
        check="exporter.services.dependencies:problems",
    ),
    Section(word="probing", options="exporter.services.options:ProbingOptions", help="How probing is bounded."),
    Section(
        word="probe_modules",
        options="exporter.services.options:ProbeModule",
        shape="mapping",
        help="How `/probe?module=NAME&target=` probes, by name; http_2xx alone where there is none.",
    ),
    Section(
        word="probe_modules_file",
        options=Path,
        shape="optional",
        help="A file of blackbox_exporter with `modules`, beside those of `probe_modules`.",
        check="exporter.blackbox:problems",
    ),
    Section(
        word="windows",
        options="exporter.windows:WindowOptions",
        shape="many",
        help="Planned maintenance of services, groups or everything.",
    ),
    Section(
        word="mode",
        options=str,
        shape="optional",
        help="How far Watchbridge may go by itself. observe: everything is decided, kept and shown, nothing is run, "
        "not later either; approve: a person releases each item; auto. observe when left out.",
        facts=Facts(choices=MODES, example="auto"),
    ),
    Section(
        word="alertmanager",
        options="exporter.bridge.options:AlertmanagerOptions",
        help="Alertmanager: who may send alerts, and where to send some.",
    ),
    Section(
        word="rules",
        options="exporter.bridge.options:RuleOptions",
        shape="many",
        help="Which alerts lead to what: the first that matches decides.",
        check="exporter.bridge.options:mistakes",
    ),
    Section(
        word="queues",
        options="exporter.bridge.options:QueueOptions",
        shape="mapping",
        help="The queues of the backlog, by name.",
        check="exporter.bridge.options:queue_mistakes",
    ),
    Section(
        word="groups",
        options="exporter.restarting.options:GroupOptions",
        shape="mapping",
        help="Groups of services, by the name that services give as `group`.",
        check="exporter.restarting.options:group_mistakes",
    ),
    Section(word="restarts", options="exporter.restarting.options:RestartsOptions", help="Restarts as a whole."),
    Section(
        word="budgets",
        options="exporter.restarting.options:BudgetOptions",
        shape="many",
        help="How many restarts may begin in a time, of each service, each group, or in all; each of them holds.",
    ),
    Section(
        word="fleet_breaker",
        options="exporter.restarting.options:FleetBreakerOptions",
        help="When so much fails at once that nothing is restarted.",
    ),
    Section(
        word="alarms",
        options="exporter.process_alarms.options:AlarmOptions",
        shape="mapping",
        help="Tables of processes in alarm, by name: what is in alarm there and is a service here is restarted.",
        check="exporter.process_alarms.options:mistakes",
    ),
    Section(
        word="node",
        options=str,
        shape="optional",
        help="The name of the host that this process runs on, as services say it with `node`; left out, the host's.",
        facts=Facts(minimum=1, maximum=253, pattern=rf"[^\s{_CONTROLS}]*", example="web1"),
    ),
    Section(
        word="incidents",
        options="exporter.bridge.options:IncidentsOptions",
        help="When incidents end by themselves, and how long they are remembered.",
    ),
    Section(
        word="backlog",
        options="exporter.bridge.options:BacklogOptions",
        help="The backlog at the command line.",
    ),
    Section(
        word="notify",
        options="exporter.bridge.options:NotifyOptions",
        shape="many",
        help="Who is told of incidents and of items that need a person.",
        check="exporter.bridge.options:notify_mistakes",
    ),
    Section(
        word="readings",
        options="exporter.services.options:ReadingsOptions",
        help="How long it is remembered how services were.",
    ),
    Section(
        word="replica",
        options=str,
        shape="optional",
        help="The name of this one of several replicas that share a store; left out, one is made from the host's.",
        facts=Facts(minimum=1, maximum=64, pattern=r"[A-Za-z0-9._-]+", example="replica-1"),
    ),
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
            found.append(Section(word=word, options=options, shape="collector", help=summary(module)))
    return (*SECTIONS, *found)


def composed(sections: tuple[Section, ...], values: Mapping[str, Any]) -> Configuration:
    """Return the Configuration of the values by section; every known collector is in it, an empty one where none."""
    collectors: dict[str, Mapping[str, Any]] = dict.fromkeys(kinds.words("collectors"), MappingProxyType({}))
    collectors |= {section.word: values[section.word] for section in sections if section.shape == "collector"}
    fields = {section.word: values[section.word] for section in sections if section.shape != "collector"}
    return Configuration(**fields, collectors=MappingProxyType(collectors))


def schema_of(sections: tuple[Section, ...]) -> Schema:
    """Return the schema of a configuration with these sections; kinds are named in it, not written out."""
    return {
        "$schema": DIALECT,
        "title": _TITLE,
        "type": "object",
        "properties": {section.word: section.schema() for section in sections},
        "additionalProperties": False,
    }


def published_schema(sections: tuple[Section, ...]) -> Schema:
    """Return the schema for editors and for the reference: with every kind, and plain JSON throughout."""
    return published(schema_of(sections))
