"""No alert is the text of a program."""

from __future__ import annotations

import pytest

from exporter import config
from exporter.errors import InvalidConfigurationError


def parsed(*argv: str) -> None:
    said = ", ".join(f"'{word}'" for word in argv)
    config.parse(f"queues: {{q: {{action: {{kind: command, argv: [{said}]}}}}}}\n", name="f", environ={})


@pytest.mark.parametrize(
    "argv",
    [
        ("/bin/sh", "-c", "{key}"),
        ("/bin/bash", "-lc", "{key}"),
        ("/usr/bin/env", "sh", "-ec", "{key}"),
        ("/usr/bin/env", "python3.11", "-c", "{key}"),
        ("/usr/bin/perl", "-e", "{key}"),
    ],
)
def test_an_interpreter_is_given_no_alert_as_its_program(argv: tuple[str, ...]) -> None:
    with pytest.raises(InvalidConfigurationError, match="an alert would be run as a program"):
        parsed(*argv)


@pytest.mark.parametrize(
    "argv", [("/bin/sh", "-c", 'exec sync "$1"', "sync", "{key}"), ("/bin/echo", "-c", "{key}"), ("/bin/sh", "-c", "x")]
)
def test_what_stands_behind_the_program_is_an_argument(argv: tuple[str, ...]) -> None:
    parsed(*argv)
