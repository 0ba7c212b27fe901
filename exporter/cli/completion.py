"""`watchbridge completion`: the script that makes a shell complete our words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    Load it with `source <(watchbridge completion bash)`, or for fish with `watchbridge completion fish | source`.
    """
    from exporter.cli import command as root

    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - click has all three
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(found(root, {}, "watchbridge", "_WATCHBRIDGE_COMPLETE").source())
