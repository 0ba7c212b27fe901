"""Yes or no agrees with what jsonschema says of the same data."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import check, quick
from exporter.config.options import Duration, Facts, Secret, Size
from exporter.config.scalars import Trap
from exporter.config.schema import of_type
from exporter.config.sections import all_sections, schema_of

SCHEMA = schema_of(all_sections())
RIGHT = quick.checker(SCHEMA)

_WORDS = sorted({*SCHEMA["properties"], "web", "kind", "probe", "url", "address", "every", "timeout", "level", "size"})
_SCALARS = st.one_of(
    st.none().map(lambda _: Trap("left empty")),
    st.booleans(),
    st.integers(-3, 70_000),
    st.sampled_from([0.0, 1.0, 5.5, -1.0]),
    st.sampled_from(["", "5m", "0", "1MiB", "http", "tcp", "info", "x\n", " x", "a\0b", "10.0.0.0/8", "🦉", "x" * 201]),
)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4)),
    max_leaves=12,
)


def _agrees(schema, value) -> bool:
    return quick.checker(schema)(value) is check._Validator(schema).is_valid(value)


@settings(max_examples=500, deadline=None)
@given(_DATA)
def test_it_agrees_on_any_data(value):
    """Arbitrary data against the schema of a whole configuration."""
    assert RIGHT(value) is check._Validator(SCHEMA).is_valid(value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SCHEMA["properties"])), _DATA)
def test_it_agrees_on_each_section(word, value):
    """Arbitrary data below each top-level key, and as an entry of it where it has names."""
    for data in ({word: value}, {word: {"web": value}}, {word: [value]}, {word: {"web": {"probe": value}}}):
        assert RIGHT(data) is check._Validator(SCHEMA).is_valid(data)


TYPES = [
    (str, Facts(minimum=2, maximum=3)),
    (str, Facts(pattern="[a-z]+")),
    (str, Facts(choices=("a", "5m"))),
    (int, Facts(minimum=0, maximum=9)),
    (float, Facts(minimum=0)),
    (bool, Facts()),
    (Secret, Facts()),
    (Duration, Facts(minimum=1, maximum=600)),
    (Size, Facts(minimum=1)),
    (tuple[int, ...], Facts(minimum=1, maximum=2)),
    (int | str, Facts()),
]


@pytest.mark.parametrize(("kind", "facts"), TYPES, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(TYPES)])
@settings(max_examples=100, deadline=None)
@given(value=_DATA)
def test_it_agrees_on_each_type(kind, facts, value):
    """Each type of an option with its bounds."""
    assert _agrees(of_type(kind, facts), value)


def test_a_keyword_that_is_not_known_is_refused():
    """A schema that says more than is checked is a developer's mistake."""
    with pytest.raises(TypeError, match="multipleOf"):
        quick.checker({"type": "integer", "multipleOf": 2})
