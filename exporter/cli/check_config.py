"""`watchbridge check-config`: name every mistake of a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.errors import InvalidConfigurationError

if TYPE_CHECKING:
    from exporter.config import Configuration


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Name every mistake of a configuration FILE, each with its line and column.

    Nothing is connected to: `watchbridge serve` may still find a database that does not answer.

    Exit status: 0 the file is fine (warnings may stand on standard error), 1 it has mistakes or cannot be read.
    """
    from exporter.config import load

    try:
        configuration = load(file)
    except InvalidConfigurationError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise click.exceptions.Exit(1) from error
    for warning in configuration.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{file} is fine: {_summary(configuration)}")


def _summary(configuration: Configuration) -> str:
    sources = {word: len(found) for word, found in configuration.collectors.items() if found}
    of_kinds = f" ({', '.join(f'{count} of {word}' for word, count in sources.items())})" if sources else ""
    return ", ".join(
        (
            *([_counted(len(configuration.services), "service")] if configuration.services else []),
            _counted(sum(sources.values()), "source") + of_kinds,
            _counted(len(configuration.databases), "database"),
            _counted(len(configuration.listen), "listener"),
        )
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
