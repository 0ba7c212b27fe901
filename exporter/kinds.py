"""A word of the configuration is the name of a module: `packages` is `exporter/collectors/packages.py`.

Third parties add kinds by an entry point of the group `watchbridge.<family>` whose name is the word. Ours win over
theirs, so that an installed package can never replace a built-in kind.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from exporter.errors import UnknownKindError

if TYPE_CHECKING:
    from types import ModuleType


@cache
def built_in(family: str) -> frozenset[str]:
    """Return the words of the family's own modules."""
    package = importlib.import_module(f"exporter.{family}")
    return frozenset(
        module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")
    )


def words(family: str) -> tuple[str, ...]:
    """Return every known word of a family, sorted."""
    return tuple(sorted(built_in(family) | {point.name for point in entry_points(group=f"watchbridge.{family}")}))


def load(family: str, word: str) -> ModuleType:
    """Import the module behind a word; UnknownKindError names the nearest known word."""
    if word in built_in(family):
        return importlib.import_module(f"exporter.{family}.{word}")
    for point in entry_points(group=f"watchbridge.{family}", name=word):
        module: ModuleType = point.load()
        return module
    known = words(family)
    near = difflib.get_close_matches(word, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UnknownKindError(family=family.removesuffix("s"), word=word, hint=hint, known=", ".join(known))
