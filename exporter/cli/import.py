"""`watchbridge import`: files of other tools become our YAML."""  # noqa: N999 - the command's word

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

_INI: Final = frozenset({".ini", ".cfg"})
_YAML: Final = frozenset({".yml", ".yaml", ".json"})


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Print the YAML of Watchbridge for a FILE of another tool.

    A config.ini of the process monitor (`[database]`, `[process.NAME]`) becomes databases, alarms and services with
    their restarts. A file of blackbox_exporter (`modules:`) becomes modules of probes. What ends in .ini or .cfg is the
    former, what ends in .yml, .yaml or .json the latter; any other FILE is told by its first line.

    What cannot be carried over is told on standard error, and the modules and processes that need it are left out.
    Secrets are not printed: a file stands for each, and a comment says what to put into it. Commands that need a shell
    become scripts that are still to be made: standard error says what to put into each.

    Exit status: 0 everything is carried over, 1 something is not, 2 the file cannot be read.
    """
    from exporter.config.document import read_file

    text = read_file(file)
    is_complete = _process_monitor(text, file) if _is_ini(file, text) else _blackbox(text, file)
    if not is_complete:
        raise click.exceptions.Exit(1)


def _is_ini(file: Path, text: str) -> bool:
    suffix = file.suffix.lower()
    if suffix in _INI | _YAML:
        return suffix in _INI
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(("#", ";"))), "")
    return first.startswith("[")


def _process_monitor(text: str, file: Path) -> bool:
    """Print what config.ini becomes, and return whether that is all of it."""
    from exporter.config.mistakes import refuse
    from exporter.process_monitor.translation import read_text
    from exporter.process_monitor.writing import text as written

    found = read_text(text, str(file))
    _tell(refuse(str(file), found.mistakes).problems, found.left_out)
    for script in found.scripts:
        needs = "needs a shell: make the file"
        click.echo(f"{file}:{script.line}: {script.purpose} {needs} {script.path}, with the mode 0755, of", err=True)
        click.echo(f"#!/bin/bash\n{script.text}\n", err=True)
        if "$" in script.text:
            click.echo(f"{script.path}: variables of the old monitor are not set in it", err=True)
    click.echo(written(found), nl=False)
    return not found.mistakes


def _blackbox(text: str, file: Path) -> bool:
    """Print what a file of modules becomes, and return whether that is all of it."""
    from exporter.blackbox.modules import read_text
    from exporter.blackbox.writing import text as written
    from exporter.config.mistakes import refuse

    modules = read_text(text, str(file), file.absolute().parent)
    hidden = [mistake for found in modules.unwritable.values() for mistake in found]
    wanting = (*modules.mistakes, *modules.unsupported, *hidden)
    _tell(refuse(modules.name, wanting).problems, [f"the module {n}" for n in (*modules.left_out, *modules.unwritable)])
    kept = {name: choice for name, choice in modules.choices.items() if name not in modules.unwritable}
    click.echo(written(kept, modules.files), nl=False)
    return not wanting


def _tell(problems: Iterable[str], left_out: Iterable[str]) -> None:
    for line in problems:
        click.echo(line, err=True)
    for what in left_out:
        click.echo(f"left out: {what}", err=True)
