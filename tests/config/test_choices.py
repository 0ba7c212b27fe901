"""Kinds in the configuration: a word, the options of its module, and what stands beside them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator

from exporter import config, kinds
from exporter.config import choices
from exporter.config.options import Choice, Duration, Facts, Kind, Secret, option
from exporter.config.sections import Section

FOLDER = Path(__file__).parent / "family"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What every kind has."""

    every: Duration = option(Duration(60.0), help="A time.", minimum=1)
    at: str | None = option(None, help="A text.")

    def problems(self, configuration):
        """Yield a mistake that only this object shows."""
        if self.at == "never":
            yield ("at",), "is never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Options that have a kind."""

    probe: Annotated[Choice, Kind("samples", Beside)] = option(help="A kind.")
    check: Annotated[Choice, Kind("samples")] | None = option(None, help="Perhaps a kind.")


Module = Annotated[Choice, Kind("samples", Beside)]

SECTIONS = (
    Section(word="services", options=Thing, shape="mapping"),
    Section(word="probe_modules", options="test_choices_types:Module", shape="mapping"),
    Section(word="windows", options=Thing, shape="many"),
    Section(word="replica", options=str, shape="optional", facts=Facts(minimum=1, maximum=5, example="a")),
)


def _family(monkeypatch, name: str, folder: Path) -> None:
    """Make a folder of modules a family of kinds, as it is for those in exporter/."""
    package = ModuleType(f"exporter.{name}")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, f"exporter.{name}", package)
    for word in [module for module in sys.modules if module.startswith(f"exporter.{name}.")]:
        monkeypatch.delitem(sys.modules, word)


def _forget() -> None:
    for cached in (kinds.built_in, choices.known, choices._module, choices._of_word, choices._of_no_word):
        cached.cache_clear()
    from exporter.config import loading

    for cached in (loading._schema, loading._checker, loading._entry_checker):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def family(monkeypatch):
    """Make the kinds of this test from files in a folder of their own."""
    _forget()
    _family(monkeypatch, "samples", FOLDER)
    types = ModuleType("test_choices_types")
    types.Module = Module
    monkeypatch.setitem(sys.modules, "test_choices_types", types)
    yield
    _forget()


def _read(text: str, **keywords) -> config.Configuration:
    return config.parse(text, name="f", environ={}, sections=SECTIONS, **keywords)


def _problems(text: str) -> list[str]:
    with pytest.raises(config.InvalidConfigurationError) as caught:
        _read(text)
    return [problem.removeprefix("f:") for problem in caught.value.problems]


def test_a_choice_has_the_options_of_its_module_and_those_beside():
    """The keys of one mapping become two objects, each with its own defaults."""
    found = _read("services: {a: {probe: {kind: plain, url: x, every: 5m}}}").services["a"]
    assert (found.probe.kind, found.check) == ("plain", None)
    assert (found.probe.options.url, found.probe.options.count) == ("x", 1)
    assert found.probe.beside == Beside(every=Duration(300.0))


def test_a_kind_may_stand_alone_in_a_list_in_a_mapping_and_in_a_kind():
    """A field of a kind is a type like any other."""
    text = """
probe_modules:
  m: {kind: plain, url: x, at: noon, verify: {kind: bare}, steps: [{kind: bare}, {kind: plain, url: y}],
      named: {n: {kind: plain, url: z, verify: {kind: plain, url: w}}}}
windows: [{probe: {kind: bare}, check: {kind: bare}}]
"""
    found = _read(text)
    options = found.probe_modules["m"].options
    assert found.probe_modules["m"].beside.at == "noon"
    assert options.verify == Choice("bare", None, None)
    assert [step.kind for step in options.steps] == ["bare", "plain"]
    assert options.named["n"].options.verify.options.url == "w"
    assert found.windows[0].probe == Choice("bare", None, Beside())


def test_what_is_left_out_is_empty():
    """Of the sections with kinds none is needed."""
    found = _read("")
    assert (dict(found.services), dict(found.probe_modules), found.windows, found.replica) == ({}, {}, (), None)


def test_a_secret_of_a_kind_is_read_from_its_file(tmp_path):
    """`NAME_file` stands among the keys of the kind, relative to the configuration's folder."""
    (tmp_path / "token").write_text("hunter2\n")
    (tmp_path / "token").chmod(0o600)
    found = _read("services: {a: {probe: {kind: strict, token_file: token}}}", folder=tmp_path)
    assert found.services["a"].probe.options.token == Secret("hunter2")
    assert (found.secrets, found.warnings) == ({"hunter2"}, ())


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ("{kind: plian, url: x}", ["found 'plian', wanted one of 'bare', 'plain', 'strict'; did you mean 'plain'?"]),
        ("{kind: [plain]}", ["found a list, wanted one of 'bare', 'plain', 'strict'"]),
        ("{kind: 5}", ["found 5, wanted one of 'bare', 'plain', 'strict': put it in quotes"]),
        ("{url: x}", ["the key 'kind' is missing: it is one of 'bare', 'plain', 'strict'"]),
        ("{}", ["the key 'kind' is missing: it is one of 'bare', 'plain', 'strict'"]),
        ("plain", ["found a text, wanted a mapping (key: value)"]),
        ("[plain]", ["found a list, wanted a mapping (key: value)"]),
        ("{kind: plain}", ["the key 'url' is missing: write url: http://h/"]),
        ("{kind: plain, url: x, cuont: 3}", ["unknown key 'cuont'; did you mean 'count'?"]),
        ("{kind: plain, url: x, evry: 3s}", ["unknown key 'evry'; did you mean 'every'?"]),
        ("{kind: bare, url: x}", ["unknown key 'url'; known here: kind, every, at"]),
        ("{kind: plain, url: x, count: 10}", ["found 10, wanted a whole number from 1 to 9"]),
        (
            "{kind: plain, url: x, every: 5}",
            ["found 5, wanted a duration like 30s, 5m or 1h of at least 1s: add its unit, as in 5s"],
        ),
        ("{kind: strict}", ["the key 'token' (or 'token_file') is missing"]),
        ("{kind: strict, token: hunter2, token_file: t}", ["give 'token' or 'token_file', not both"]),
        ("{kind: strict, token: 31337}", ["found <secret>, wanted a text: put it in quotes"]),
        ("{kind: plain, url: x, count: 7, at: never}", ["is seven", "is never"]),
        (
            "{kind: plain, url: x, verify: {kind: bear}}",
            ["found 'bear', wanted one of 'bare', 'plain', 'strict'; did you mean 'bare'?"],
        ),
        ("{kind: plain, url: x, verify: {kind: bare, every: 1m}}", ["unknown key 'every'; known here: kind"]),
        ("{kind: plain, url: x, verify: {kind: plain, url: x, count: 7}}", ["is seven"]),
        (
            "{kind: plain, url: x, steps: [{kind: bare}, {}]}",
            ["the key 'kind' is missing: it is one of 'bare', 'plain', 'strict'"],
        ),
        (
            "{kind: plain, url: x, steps: [{kind: bare}, {kind: bare}, {kind: bare}, {kind: bare}]}",
            ["found a list of 4, wanted a list ([a, b]), length of at most 3"],
        ),
        ("{kind: plain, url: x, named: {n: {kind: plain, url: ''}}}", ["left empty: remove the key or give a value"]),
    ],
)
def test_a_mistake_in_a_kind_is_told(probe, expected):
    """As anywhere else: where it is, what was found and what was wanted."""
    told = _problems(f"services: {{a: {{probe: {probe}}}}}")
    assert [problem.split(": ", 2)[2] for problem in told] == expected
    assert not [problem for problem in told if "hunter2" in problem or "31337" in problem]


def test_a_mistake_in_a_kind_has_its_path():
    """The path goes through the key that holds the kind, and both objects are told of."""
    told = _problems("services: {a: {probe: {kind: plain, url: x, count: 7, at: never, named: {n: {kind: x}}}}}")
    assert told == ["1:84: services.a.probe.named.n.kind: found 'x', wanted one of 'bare', 'plain', 'strict'"]
    told = _problems("services: {a: {probe: {kind: plain, url: x, count: 7, at: never}}}")
    assert told == ["1:52: services.a.probe.count: is seven", "1:59: services.a.probe.at: is never"]


def test_a_warning_of_a_kind_has_its_path():
    """Warnings are asked of the options of kinds, too."""
    found = _read("services: {a: {probe: {kind: plain, url: x, count: 8}}}")
    assert found.warnings == ("f:1:52: services.a.probe.count: is eight",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("replica: abc", None),
        ("replica: abcdef", ["1:10: replica: found 'abcdef', wanted a text, length of at most 5"]),
    ],
)
def test_a_section_may_be_a_plain_value(text, expected):
    """A top-level key need not be an object; its bounds are its section's."""
    if expected is None:
        assert _read(text).replica == "abc"
    else:
        assert _problems(text) == expected


def test_only_the_kinds_that_are_named_are_imported():
    """A file costs what it names; an unknown kind imports nothing."""
    _read("services: {a: {probe: {kind: bare}}}")
    _problems("services: {a: {probe: {kind: baer}}}")
    assert [word for word in sys.modules if word.startswith("exporter.samples.")] == ["exporter.samples.bare"]


GOOD = [
    "{kind: bare}",
    "{kind: plain, url: x, every: 5m, verify: {kind: plain, url: y}, steps: [{kind: bare}]}",
    "{kind: strict, token: a}",
    "{kind: strict, token_file: a}",
]
BAD = [
    "{}",
    "{kind: none}",
    "{kind: bare, url: x}",
    "{kind: plain}",
    "{kind: plain, url: x, steps: [{kind: plain}]}",
    "{kind: plain, url: x, verify: {kind: bare, every: 5m}}",
    "{kind: strict}",
    "{kind: strict, token: a, token_file: b}",
]


@pytest.mark.parametrize("probe", [*GOOD, *BAD])
def test_the_published_schema_agrees(probe):
    """Editors see every kind, in plain JSON Schema, and accept and refuse what the loader does."""
    import yaml

    schema = json.loads(json.dumps(config.json_schema(SECTIONS)))
    Draft202012Validator.check_schema(schema)
    data = yaml.safe_load(f"services: {{a: {{probe: {probe}}}}}")
    assert Draft202012Validator(schema).is_valid(data) is (probe in GOOD)
    if probe in BAD:
        assert _problems(f"services: {{a: {{probe: {probe}}}}}")


def test_the_published_schema_writes_each_family_once():
    """A kind that holds kinds of its own family refers to them; only the first paragraph describes it."""
    schema = config.json_schema(SECTIONS)
    assert set(schema["$defs"]) == {
        f"{name}{word}" for name in ("samples", "samples.Beside") for word in ("", ".bare", ".plain", ".strict")
    }
    plain = schema["$defs"]["samples.Beside.plain"]
    assert plain["description"] == "A kind with options of several types."
    assert plain["required"] == ["kind", "url"]
    assert set(plain["properties"]) > {"kind", "url", "key_file", "every", "at"}
    assert plain["properties"]["verify"]["$ref"] == "#/$defs/samples"
    assert set(schema["$defs"]["samples.Beside"]["properties"]) == {"kind", "every", "at"}


def test_a_module_that_cannot_be_imported_is_one_sentence(monkeypatch, tmp_path):
    """A broken kind costs those who name it, and the schema; it is no traceback."""
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "bare.py").write_text("")
    _forget()
    _family(monkeypatch, "samples", tmp_path)
    assert _read("services: {a: {probe: {kind: bare}}}").services["a"].probe.kind == "bare"
    sentence = "the installed sample 'broken' cannot be loaded (ZeroDivisionError): mend or remove it"
    assert _problems("services: {a: {probe: {kind: broken}}}") == [f"1:30: services.a.probe.kind: {sentence}"]
    with pytest.raises(config.InvalidConfigurationError, match="'broken' cannot be loaded"):
        config.json_schema(SECTIONS)


def test_two_options_of_the_same_name_are_refused(monkeypatch, tmp_path):
    """A developer whose kind has a key that stands beside it learns it from the first schema."""
    (tmp_path / "twice.py").write_text((FOLDER / "plain.py").read_text().replace("count: int", "every: int"))
    _forget()
    _family(monkeypatch, "samples", tmp_path)
    with pytest.raises(TypeError, match=r"share \['every'\]"):
        config.json_schema(SECTIONS)


def test_a_kind_of_another_package_is_one(monkeypatch):
    """An entry point adds a kind as a file of ours does."""
    point = EntryPoint("other", "exporter.samples.strict", "watchbridge.samples")
    monkeypatch.setattr(
        kinds, "entry_points", lambda group, name="other": [point] if (group, name) == (point.group, "other") else []
    )
    assert _read("services: {a: {probe: {kind: other, token: t}}}").services["a"].probe.options.token == Secret("t")
    assert "'bare', 'other', 'plain', 'strict'" in _problems("services: {a: {probe: {kind: x}}}")[0]


def test_a_module_needs_no_target():
    """A request to /probe names it: what stands for it leads nowhere, and one that is given is kept."""
    text = (
        "probe_modules:\n  a: {kind: http}\n  b: {kind: tcp, address: 'x.example:1'}\n  c: {kind: dns, query: x}\n"
        "  d: {kind: icmp}\n  e: {kind: tls}\n"
    )
    found = config.parse(text, name="f", environ={}).probe_modules
    assert found["a"].options.url == "https://target.invalid"
    assert found["b"].options.address == "x.example:1"
    assert found["c"].options.server == "target.invalid"
    assert {found[name].options.address for name in "de"} == {"target.invalid", "target.invalid:443"}
    with pytest.raises(config.InvalidConfigurationError, match="the key 'url' is missing"):
        config.parse("services: {a: {probe: {kind: http}}}", name="f", environ={})
