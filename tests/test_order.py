"""Who needs whom: what is needed comes first, and what fails because of another is not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.order import Troubles, ancestors, barred, roots, sorted_by_need

if TYPE_CHECKING:
    from collections.abc import Mapping

LONG: Final = 10_000
CHAIN: Final[Mapping[str, tuple[str, ...]]] = {
    f"s{number}": (f"s{number + 1}",) if number + 1 < LONG else () for number in range(LONG)
}
DIAMOND: Final[Mapping[str, tuple[str, ...]]] = {
    "web": ("api", "cache"),
    "api": ("db",),
    "cache": ("db",),
    "db": ("disk",),
    "disk": (),
}
CIRCLE: Final[Mapping[str, tuple[str, ...]]] = {"a": ("b",), "b": ("c",), "c": ("a",), "d": ("a", "d")}


def well(*down: str, waiting: Mapping[str, str] | None = None) -> Troubles:
    return Troubles(waiting or {}, dict.fromkeys(down, "no answer"))


def test_ancestors_are_the_nearest_first() -> None:
    """Each once, on however many ways it is needed."""
    assert ancestors("web", DIAMOND) == ("api", "cache", "db", "disk")
    assert ancestors("disk", DIAMOND) == ()


def test_a_name_that_nobody_has_is_left_out() -> None:
    parents = {"web": ("db", "gone"), "db": ("gone",)}
    assert ancestors("web", parents) == ("db",)
    assert ancestors("gone", parents) == ()
    assert sorted_by_need(["web", "gone", "db"], parents) == ("db", "web", "gone")
    assert barred("web", parents, well("gone")) is None


def test_a_chain_of_ten_thousand() -> None:
    """It is walked without a stack of calls."""
    assert ancestors("s0", CHAIN) == tuple(f"s{number}" for number in range(1, LONG))
    some = ["s0", "s5000", f"s{LONG - 1}"]
    assert sorted_by_need(some, CHAIN) == tuple(reversed(some))
    assert barred("s0", CHAIN, well("s1", f"s{LONG - 1}")) == f"s{LONG - 1}, which it needs, is down: no answer"
    assert roots(some, CHAIN) == roots(CHAIN, CHAIN) == {f"s{LONG - 1}"}
    assert sorted_by_need(CHAIN, CHAIN) == tuple(reversed(CHAIN))


@pytest.mark.parametrize("name", CIRCLE)
def test_a_circle_ends(name: str) -> None:
    """The check of the configuration refuses one; nobody needs itself."""
    assert set(ancestors(name, CIRCLE)) == {"a", "b", "c"} - {name}
    assert sorted(sorted_by_need(CIRCLE, CIRCLE)) == sorted(CIRCLE)
    assert barred(name, CIRCLE, well(name)) is None
    assert sorted_by_need(CIRCLE, CIRCLE)[-1] == "d"


def test_the_parent_in_trouble_that_needs_none_of_the_others_is_named() -> None:
    """It is mended first, however near it is; of one that is to be restarted that is told, not how it is."""
    assert barred("web", DIAMOND, well()) is None
    assert barred("web", DIAMOND, well("web")) is None
    assert barred("web", DIAMOND, well("api", "disk")) == "disk, which it needs, is down: no answer"
    near = {"web": ("db", "api"), "api": ("db",), "db": ()}
    assert barred("web", near, well("api", "db")) == "db, which it needs, is down: no answer"
    troubles = Troubles({"api": "its own restart waits"}, {"api": "no answer"})
    assert barred("web", DIAMOND, troubles) == "api, which it needs, is mended first: its own restart waits"


def test_parents_come_first_and_else_the_order_that_was_given() -> None:
    """Whoever is not asked for is not in it."""
    assert sorted_by_need(["web", "other", "db"], {**DIAMOND, "other": ()}) == ("db", "web", "other")
    assert sorted_by_need(["b", "a", "b"], {"a": (), "b": ()}) == ("b", "a")
    assert sorted_by_need([], DIAMOND) == ()


@st.composite
def forests(draw: Any) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return services of which each needs only earlier ones, and some of them in any order."""
    count = draw(st.integers(1, 12))
    names = [f"s{number}" for number in range(count)]
    parents = {
        name: tuple(draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3))) if place else ()
        for place, name in enumerate(names)
    }
    return parents, draw(st.lists(st.sampled_from(names), unique=True))


@given(forests())
def test_whatever_hangs_on_what(found: tuple[dict[str, tuple[str, ...]], list[str]]) -> None:
    """Sorted, each comes after all that it needs; the roots are those that need no other, and lead to all."""
    parents, some = found
    sorted_ = sorted_by_need(some, parents)
    assert sorted(sorted_) == sorted(some)
    for place, name in enumerate(sorted_):
        assert not set(ancestors(name, parents)) & set(sorted_[place:])
    assert sorted_by_need(sorted_, parents) == sorted_
    first = roots(some, parents)
    for name in some:
        needed = set(ancestors(name, parents)) & set(some)
        assert (name in first) == (not needed)
        assert name in first or needed & first
    assert bool(first) == bool(some)


@given(forests())
def test_who_is_barred(found: tuple[dict[str, tuple[str, ...]], list[str]]) -> None:
    """Exactly who needs one that is down or waits, by one that is not barred; one in trouble never is."""
    parents, down = found
    troubles = well(*down)
    for name in parents:
        why = barred(name, parents, troubles)
        assert (why is None) == (not set(ancestors(name, parents)) & set(down))
        if why is not None:
            first, _, _ = why.partition(",")
            assert first in down
            assert barred(first, parents, troubles) is None
    if down:
        assert any(barred(name, parents, troubles) is None for name in down)
