"""`watchbridge dashboards export DIR`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(name="dashboards", short_help="Get the Grafana dashboards that ship with Watchbridge.")
def command() -> None:
    """Dashboards for Grafana, on whatever Prometheus data source is chosen there."""


@command.command(name="export")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--force", is_flag=True, help="Replace files that differ.")
def export_dashboards(directory: Path, *, force: bool) -> None:
    """Write the dashboards into DIR and print their paths.

    Import them in Grafana, or name DIR in a dashboard provider of its provisioning. Files in DIR that differ are kept,
    and nothing is written, unless --force is given.
    """
    from exporter.shipped import export, shipped_files

    for path in export(shipped_files("grafana"), directory, force=force):
        click.echo(path)
