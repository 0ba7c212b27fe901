"""`watchbridge rules export DIR`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(name="rules", short_help="Get the Prometheus rules that ship with Watchbridge.")
def command() -> None:
    """Alerts on services, packages and Watchbridge itself, ready for Prometheus."""


@command.command(name="export")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--force", is_flag=True, help="Replace files that differ.")
def export_rules(directory: Path, *, force: bool) -> None:
    """Write the rule files into DIR and print their paths.

    Name them in Prometheus' `rule_files`, for example as DIR/*.yml. Files in DIR that differ are kept, and nothing is
    written, unless --force is given.
    """
    from exporter.shipped import export, shipped_files

    for path in export(shipped_files("rules"), directory, force=force):
        click.echo(path)
