"""Numbers that no store holds are a mistake of who typed them, and no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "words", [("backlog", "show"), ("backlog", "approve"), ("backlog", "retry"), ("incidents", "show")]
)
def test_an_id_of_more_than_64_bits(watchbridge: Callable[..., Any], words: tuple[str, ...]) -> None:
    """Exit status 2 and a sentence with the range."""
    done = watchbridge(*words, str(2**63))
    assert (done.code, done.out) == (2, "")
    assert str(2**63 - 1) in done.err
