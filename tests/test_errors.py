"""An error is a sentence made of its class's docstring and its facts, whatever these hold."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from exporter import errors
from exporter.errors import DatabaseUnreachableError, WatchbridgeError

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, WatchbridgeError) and found.__init__ is WatchbridgeError.__init__
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda found: found.__name__)
def test_every_error_says_what_happened_and_exits_as_the_command_line_promises(error: type[WatchbridgeError]) -> None:
    """Its template is whole, its status is 1, 2 or 3."""
    template = inspect.cleandoc(error.__doc__ or "")
    facts = {name: f"<{name}>" for name in re.findall(r"(?<!\{)\{(\w+)", template)}
    numbers = dict.fromkeys(re.findall(r"\{(\w+):g\}", template), 1.0)
    said = str(error(**(facts | numbers)))
    for name in facts.keys() - numbers.keys():
        assert f"<{name}>" in said
    assert "\n" not in said
    assert error.exit_code in {1, 2, 3}


def test_facts_that_are_missing_or_strange_do_not_break_the_sentence() -> None:
    """An error must never hide another behind it."""
    assert "registry" in str(DatabaseUnreachableError(database="registry"))
    assert "{where}" in str(DatabaseUnreachableError(database="{where}", where="{}", reason="{0}"))


def test_without_docstrings_an_error_still_says_what_it_is() -> None:
    """`python -OO` takes them away."""
    code = (
        "from exporter.errors import DatabaseUnreachableError as e;"
        "print(e(database='registry', where='db:5432', reason='connection refused'))"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "database unreachable: database registry, where db:5432, reason connection refused"
