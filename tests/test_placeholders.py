"""A placeholder is one whole value, filled from the item and its alert, and never a part of anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import placeholders
from exporter.model import Item
from exporter.placeholders import PlaceholderError

WHOLE = ["{key}", "{user_id}", "{_x}", "{A1}"]
NONE = ["", "key", "{}", "{ key }", "{1a}", "{a-b}", "{a.b}", "{é}", "${key}", "{key", "key}", "{print $1}", '{"a": 1}']
WITHIN = ["x{key}", "{key}x", "{{key}}", "{key} ", " {key}", "{a}{b}", "{key}\n", "{ {a} }", "$ {key}", "{print} $1"]


@pytest.mark.parametrize("text", WHOLE)
def test_a_whole_text_in_braces_is_one(text: str) -> None:
    assert placeholders.name(text) == text[1:-1]
    assert placeholders.problem(text) is None
    assert f"{text!r} would not be filled in here" in str(placeholders.misplaced(text))


@pytest.mark.parametrize("text", NONE)
def test_any_other_text_is_itself(text: str) -> None:
    """What other languages mean by braces is none of ours."""
    assert placeholders.name(text) is None
    assert placeholders.problem(text) is None
    assert placeholders.misplaced(text) is None
    assert placeholders.filled(text, {"key": "x"}) == text


@pytest.mark.parametrize("text", WITHIN)
def test_one_within_other_text_is_a_mistake(text: str) -> None:
    """It is not filled in either."""
    assert placeholders.name(text) is None
    assert "stands within other text: a placeholder is the whole value, for example" in str(placeholders.problem(text))
    assert "would not be filled in here" in str(placeholders.misplaced(text))
    assert placeholders.filled(text, {"key": "x", "a": "y", "b": "z"}) == text


@pytest.mark.parametrize("facts", [{}, {"user": ""}, {"USER": "x"}])
def test_what_is_absent_or_empty_is_told(facts: dict[str, str]) -> None:
    with pytest.raises(PlaceholderError, match=r"^there is no 'user' to put into '\{user\}'$"):
        placeholders.filled("{user}", facts)


def test_what_an_item_has_of_its_own_comes_before_the_labels() -> None:
    """No label takes its place, not even that of a thing it lacks: a service is one of the configuration."""
    item = Item(7, "q", "k", "why", attempt=2, labels={"key": "evil", "id": "evil", "service": "label", "user": "u"})
    facts = placeholders.facts(item)
    assert facts == {
        "id": "7",
        "queue": "q",
        "key": "k",
        "reason": "why",
        "attempt": "2",
        "user": "u",
    }
    assert set(placeholders.OWN) <= {*facts, "incident", "service"}
    assert placeholders.facts(Item(1, "q", "k", service="web", incident=3, labels=item.labels))["service"] == "web"
    assert placeholders.facts(Item(1, "q", "k", incident=3))["incident"] == "3"


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_a_value_is_filled_in_as_it_is(value: str, labels: dict[str, str]) -> None:
    """Braces in it are not looked at again."""
    facts = placeholders.facts(Item(1, "q", "k", labels={**labels, "user": value}))
    if value:
        assert placeholders.filled("{user}", facts) == value
    else:
        with pytest.raises(PlaceholderError):
            placeholders.filled("{user}", facts)
