"""${NAME} and ${NAME:-default} in texts of the configuration; $$ is a dollar.

What a variable holds is taken as it is: it is never read as YAML again, so it can add no key and no line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIMIT: Final = 1 << 20
"""Characters that all variables of one file may add up to: a small file must not grow without bound."""

_REFERENCE: Final = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\{))"
)


def expander(environ: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that puts variables into a text; its ValueError says which one is missing."""
    spent = 0

    def value(match: re.Match[str]) -> str:
        nonlocal spent
        text = _value(match, environ)
        spent += len(text)
        if spent > LIMIT:
            raise ValueError("the variables of this file add up to more than 1 MiB: put large texts in files")
        return text

    return lambda text: _REFERENCE.sub(value, text) if "$" in text else text


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    if match["bad"]:
        raise ValueError(
            "a '${' begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the characters themselves"
        )
    name, default = match["name"], match["default"]
    found = environ.get(name)
    # As in a shell, `:-` stands in for a variable that is empty, too.
    if found is None or (not found and default is not None):
        found = default
    if found is None:
        raise ValueError(f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}")
    return found
