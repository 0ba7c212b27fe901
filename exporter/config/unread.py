"""What stands for a part of the configuration that has mistakes of its own, so that the rest is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator


class NotReadError(Exception):
    """A cross check asked for what could not be read: nobody can tell what it would have found."""


class Unread:
    """An object that is there, and of which nothing is known."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotReadError(name)

    def __fspath__(self) -> str:
        raise NotReadError


class UnreadMapping(Mapping[str, Any]):
    """A mapping of which not even the names are known: any may be in it."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> NoReturn:
        raise NotReadError(name)

    def __iter__(self) -> Iterator[str]:
        raise NotReadError

    def __len__(self) -> NoReturn:
        raise NotReadError
