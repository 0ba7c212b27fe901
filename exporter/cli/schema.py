"""`watchbridge schema`: the JSON Schema of the configuration, for editors."""

from __future__ import annotations

import json

import click


@click.command()
def command() -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration, with the collectors that are installed.

    An editor with yaml-language-server checks a file while it is written, if the file begins with
    `# yaml-language-server: $schema=watchbridge.schema.json`.
    """
    from exporter.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
