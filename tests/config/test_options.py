"""Options classes of every shape: read, checked, and described by a schema that agrees."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping  # noqa: TC003 -- the schema is generated from the annotations
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from jsonschema import Draft202012Validator

from exporter import config
from exporter.config.options import Duration, Secret, Size, option
from exporter.config.sections import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """An object in an object."""

    count: int = option(1, help="How many.", minimum=1, maximum=9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An object that may be a text."""

    host: str
    port: int = 80

    @classmethod
    def from_scalar(cls, text):
        """Read host:port."""
        host, _, port = text.partition(":")
        return cls(host=host, port=int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """Options of every type.

    A second paragraph that no schema needs.
    """

    text: str = option(help="A text.", example="abc", pattern="[a-z]+")
    code: str = option("a", help="A choice.", choices=("a", "b"))
    short: str | None = option(None, help="A short text.", minimum=2, maximum=4)
    ratio: float = option(0.5, help="A part.", minimum=0, maximum=1)
    on: bool = option(default=False, help="A switch.")
    word: Literal["one", "two"] = option("one", help="A word.")
    file: Path | None = option(None, help="A path.")
    wait: Duration = option(Duration(5.0), help="A time.", minimum=1, maximum=60)
    room: Size = option(Size(1024), help="A size.", minimum=1, maximum=2**20)
    each: Duration | Mapping[str, Duration] = option(Duration(60.0), help="A time, or one for each.")
    names: tuple[str, ...] = option(("x",), help="Names.", minimum=1, maximum=3)
    limits: Mapping[str, int] = option(default_factory=dict, help="Limits.")
    inner: Inner = option(default_factory=Inner, help="Inner.")
    inners: tuple[Inner, ...] = option((), help="Inners.")
    targets: tuple[Target, ...] = option((), help="Targets.")
    key: Secret | None = option(None, help="A key.")

    def problems(self, configuration):
        """Yield a mistake that only the whole shows."""
        if self.word == "two" and not configuration.databases:
            yield ("word",), "two needs a database"


SECTIONS = (
    Section(word="things", options=Everything, shape="collector"),
    Section(word="databases", options=Inner, shape="mapping"),
)


def _read(text, **keywords):
    return config.parse(text, name="f", environ={"SET": "s$ET", "EMPTY": ""}, sections=SECTIONS, **keywords)


def _one(text, **keywords):
    return _read(f"things: {{a: {{text: abc, {text}}}}}", **keywords).collectors["things"]["a"]


def _problems(text):
    with pytest.raises(config.InvalidConfigurationError) as caught:
        _one(text)
    return [problem.split(": ", 1)[1] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("code: b", "code", "b"),
        ("short: ab", "short", "ab"),
        ("ratio: 1", "ratio", 1.0),
        ("ratio: 0.25", "ratio", 0.25),
        ("on: true", "on", True),
        ("word: one", "word", "one"),
        ("file: /a/b", "file", Path("/a/b")),
        ("file: c", "file", Path("/folder/c")),
        ("wait: 1m", "wait", 60.0),
        ("room: 1KiB", "room", 1024),
        ("each: 0", "each", 0.0),
        ("each: '0'", "each", 0.0),
        ("each: {x: 1m, y: 0}", "each", {"x": 60.0, "y": 0.0}),
        ("names: [p, q]", "names", ("p", "q")),
        ("limits: {x: 5.0}", "limits", {"x": 5}),
        ("inner: {count: 3}", "inner", Inner(count=3)),
        ("inner: {}", "inner", Inner()),
        ("inners: [{}, {count: 2}]", "inners", (Inner(), Inner(count=2))),
        ("targets: ['h:1', {host: i}]", "targets", (Target(host="h", port=1), Target(host="i"))),
        ("key: k", "key", Secret("k")),
        ("short: '${SET}'", "short", "s$ET"),
        ("short: $$$$x", "short", "$$x"),
        ("short: a$b", "short", "a$b"),
        ("short: '${UNSET:-xy}'", "short", "xy"),
        ("short: '${EMPTY:-xy}'", "short", "xy"),
        ("text: x", "text", "x"),
    ],
)
def test_a_value_is_read(text, name, value):
    """A value of each type becomes what the option declares, in its unit."""
    if name == "text":
        found = _read("things: {a: {text: x}}").collectors["things"]["a"]
    else:
        found = _one(text, folder=Path("/folder"))
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(value) or isinstance(value, dict)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("code: c", "things.a.code: found 'c', wanted one of 'a', 'b'"),
        ("short: abcde", "things.a.short: found 'abcde', wanted a text, length from 2 to 4"),
        ("ratio: 1.5", "things.a.ratio: found 1.5, wanted a number from 0 to 1"),
        ("on: 1", "things.a.on: found 1, wanted true or false"),
        ("wait: 2m", "things.a.wait: found '2m', wanted a duration like 30s, 5m or 1h from 1s to 1m"),
        ("wait: 0", "things.a.wait: found 0, wanted a duration like 30s, 5m or 1h from 1s to 1m"),
        ("room: 2MiB", "things.a.room: found '2MiB', wanted a size like 512KiB or 5MiB from 1B to 1MiB"),
        ("names: []", "things.a.names: found an empty list, wanted a list ([a, b]), length from 1 to 3"),
        ("inners: [{count: 0}]", "things.a.inners[0].count: found 0, wanted a whole number from 1 to 9"),
        ("limits: {x: y}", "things.a.limits.x: found 'y', wanted a whole number"),
        ("targets: ['h:p']", "things.a.targets[0]: invalid literal for int() with base 10: 'p'"),
        ("targets: [5]", "things.a.targets[0]: found 5, wanted a text or a mapping (key: value): put it in quotes"),
        (
            "short: '${SET}${SET}'",
            "things.a.short: found '${SET}${SET}', wanted a text, length from 2 to 4",
        ),
        ("word: two", "things.a.word: two needs a database"),
        (
            'short: "a\\nb\\ncdef"',
            "things.a.short: found 'a\\nb\\ncdef', wanted a text, length from 2 to 4",
        ),
        ("key: 5", "things.a.key: found <secret>, wanted a text: put it in quotes"),
        ("key: [5]", "things.a.key: found a list, wanted a text"),
        ("each: {x: '5'}", "things.a.each.x: found '5', wanted a duration like 30s, 5m or 1h"),
    ],
)
def test_a_wrong_value_is_told(text, sentence):
    """A wrong value says where it is, what was found and what was wanted."""
    assert _problems(text) == [sentence]


def test_a_pattern_holds_for_the_whole_text():
    """A newline at the end is no way around a pattern."""
    with pytest.raises(config.InvalidConfigurationError, match="wanted a text like 'abc'"):
        _read('things: {a: {text: "abc\\n"}}')


def test_cross_checks_pass_where_the_whole_is_right():
    """A cross check sees the other sections."""
    assert _read("databases: {d: {}}\nthings: {a: {text: x, word: two}}").collectors["things"]["a"].word == "two"


def test_variables_cannot_grow_without_bound():
    """A small file of large variables is refused."""
    text = "things: {a: {text: x, names: [" + "'${BIG}'," * 50 + "]}}"
    with pytest.raises(config.InvalidConfigurationError, match="add up to more than 1 MiB"):
        config.parse(text, name="f", environ={"BIG": "x" * 100_000}, sections=SECTIONS)


def test_a_variable_is_never_read_as_yaml():
    """What a variable holds stays one text."""
    found = config.parse(
        "things: {a: {text: x, names: ['${V}']}}", name="f", environ={"V": "a]\nb: !!x 1"}, sections=SECTIONS
    )
    assert found.collectors["things"]["a"].names == ("a]\nb: !!x 1",)


def test_a_secret_shows_itself_nowhere():
    """A secret is <secret> in every way of writing it, and still compares, hashes and copies."""
    secret = Secret("hunter2")
    ways = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>10}",
        repr([secret]),
        repr({1: secret}),
    ]
    assert not [way for way in ways if "hunter2" in way]
    assert all("<secret>" in way for way in ways)
    assert secret == Secret("hunter2") == copy.deepcopy(secret)
    assert secret != Secret("other")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_the_schema_describes_every_option():
    """Title, description, default and example of each option are in the schema, in the units of the file."""
    schema = config.json_schema(SECTIONS)["properties"]["things"]["additionalProperties"]
    assert schema["description"] == "Options of every type."
    assert schema["required"] == ["text"]
    assert not schema["additionalProperties"]
    found = schema["properties"]
    assert found["text"]["examples"] == ["abc"]
    assert (found["wait"]["default"], found["room"]["default"], found["each"]["default"]) == ("5s", "1KiB", "1m")
    assert found["names"]["default"] == ["x"]
    assert found["key_file"]["type"] == "string"
    assert all(found[name]["description"] for name in found)
    assert "default" not in found["key"]


@pytest.mark.parametrize("sections", [SECTIONS, None], ids=["every type", "the real sections"])
def test_the_schema_is_one(sections):
    """The schema is valid JSON Schema, can be written as JSON, and its defaults are right by itself."""
    schema = json.loads(json.dumps(config.json_schema(sections)))
    Draft202012Validator.check_schema(schema)
    for place in _with_default(schema):
        assert not list(Draft202012Validator(place).iter_errors(place["default"])), place


def _with_default(schema):
    if isinstance(schema, dict):
        if "default" in schema and "description" in schema:
            yield schema
        for child in schema.values():
            yield from _with_default(child)


def test_a_type_that_no_file_can_hold_is_refused():
    """A developer who declares a set learns it from the first schema."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Wrong:
        """Wrong."""

        words: set[str] = option(default_factory=set, help="Words.")

    with pytest.raises(TypeError, match="which no configuration can hold"):
        config.json_schema((Section(word="log", options=Wrong),))
