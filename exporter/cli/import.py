"""`watchbridge import`: files of other tools become our YAML."""  # noqa: N999 - the command's word

from __future__ import annotations

from pathlib import Path

import click

from exporter.errors import ConfigurationError


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Print the YAML of Watchbridge for a FILE of blackbox_exporter (`modules:`).

    What cannot be carried over is told on standard error, and the modules that need it are left out. Secrets are not
    printed: a file stands for each, and a comment says what to put into it.

    Exit status: 0 everything is carried over, 1 something is not, 2 the file cannot be read.
    """
    from exporter.blackbox.modules import read
    from exporter.blackbox.writing import text
    from exporter.config.mistakes import refuse

    if file.suffix.lower() in {".ini", ".cfg"}:
        raise ConfigurationError(reason=f"{file} is not read yet: a later version of Watchbridge imports config.ini.")
    modules = read(file)
    hidden = [mistake for found in modules.unwritable.values() for mistake in found]
    wanting = (*modules.mistakes, *modules.unsupported, *hidden)
    for line in refuse(modules.name, wanting).problems:
        click.echo(line, err=True)
    for name in (*modules.left_out, *modules.unwritable):
        click.echo(f"left out: the module {name}", err=True)
    kept = {name: choice for name, choice in modules.choices.items() if name not in modules.unwritable}
    click.echo(text(kept, modules.files), nl=False)
    if wanting:
        raise click.exceptions.Exit(1)
