"""What options are made of: the modules that own them declare frozen dataclasses with these words.

An options class is `@dataclass(frozen=True, slots=True, kw_only=True)`. Its fields are of the types str, int, float,
bool, Path, Duration, Size, Secret, Literal, tuple[T, ...], Mapping[str, T], another options class, `T | None`, or a
union of a scalar and a mapping. It may have three more members that the loader looks for:

- `problems(self, configuration)` yields (path relative to this object, sentence) for what only the whole shows;
- `warnings(self, configuration)` yields the same for what works and is hardly meant;
- `from_scalar(cls, text)`, a classmethod, lets the whole object be written as one text; a ValueError is a mistake.

Nothing here imports YAML or JSON Schema: options are also built by commands that read no file.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, NewType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Duration = NewType("Duration", float)
"""Seconds. In YAML a text such as 500ms, 30s, 5m, 1h30m or 7d, or the number 0."""

Size = NewType("Size", int)
"""Bytes. In YAML a text such as 512KiB, 5MiB or 5MB, or the number 0."""

_METADATA_KEY: Final = "watchbridge.option"


class Secret:
    """A text that shows itself as <secret> everywhere but in `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself: only for the one place that must have it."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __str__(self) -> str:
        return "<secret>"

    def __format__(self, format_spec: str) -> str:
        return format("<secret>", format_spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an option says about itself beyond its type.

    `minimum` and `maximum` are in the unit of the type: the number itself, seconds of a Duration, bytes of a Size,
    characters of a text, entries of a tuple; of a mapping they hold for each value. `pattern` must match a whole text
    and `choices` must hold it: each one, where the field is a tuple or a mapping of texts.
    """

    help: str = ""
    example: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: Sequence[Any] | None = None
    pattern: str | None = None


NO_FACTS: Final = Facts()


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """Marks a field whose mapping has a key `kind` that names a module of a family, as `Annotated[Choice, Kind(...)]`.

    The other keys are those of the module's `Options`; `beside` is an options class whose keys stand among them. Where
    something else names the target later (`aimed`), the key that the module's `TARGET` names may be left out.
    """

    family: str
    beside: type | None = None
    aimed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The value of such a field: the word, the `Options` of its module, and the object of `beside` (None without)."""

    kind: str
    options: Any
    beside: Any = None


def option(  # noqa: PLR0913 -- these are the keywords of a declaration, not arguments of an action
    default: Any = dataclasses.MISSING,
    *,
    help: str,  # noqa: A002 -- the word a reader of a declaration looks for
    example: Any = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
    pattern: str | None = None,
    default_factory: Callable[[], Any] | Any = dataclasses.MISSING,
) -> Any:
    """Declare one option of an options class; without a default the key is required."""
    facts = Facts(help=help, example=example, minimum=minimum, maximum=maximum, choices=choices, pattern=pattern)
    keywords: dict[str, Any] = {"metadata": {_METADATA_KEY: facts}}
    if default is not dataclasses.MISSING:
        keywords["default"] = default
    if default_factory is not dataclasses.MISSING:
        keywords["default_factory"] = default_factory
    return dataclasses.field(**keywords)


def facts_of(field: dataclasses.Field[Any]) -> Facts:
    """Return what a field was declared with; a plain dataclass field may have its `help` in the metadata."""
    facts: Facts | None = field.metadata.get(_METADATA_KEY)
    return facts or Facts(help=field.metadata.get("help", ""))
