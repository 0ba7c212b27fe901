"""The command line: one module a command, imported only when its command is called."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, Final, NoReturn

import click

from exporter import __version__
from exporter.cli import streams
from exporter.errors import OutputError, SystemCallError, WatchbridgeError

# The short helps stand here so that `--help` imports no command.
COMMANDS: Final = {
    "serve": "Serve metrics to Prometheus: the main job.",
    "demo": "The same, on example data that it makes itself.",
    "check-config": "Name every mistake of a configuration file.",
    "schema": "Print the JSON Schema of the configuration.",
    "services": "Show services: their state, uptime and history.",
    "incidents": "Show alerts as incidents, and what was decided.",
    "backlog": "Work with the backlog: what waits, runs, failed.",
    "restart": "Restart services, in order, and verify each.",
    "circuits": "List circuits, or close them by hand.",
    "windows": "Plan maintenance: add, list and end windows.",
    "replay": "Tell what a webhook payload would lead to.",
    "alarms": "Show processes in alarm in a monitor's tables.",
    "packages": "Report packages by status from a database.",
    "import": "Turn config.ini or a file of blackbox_exporter into our YAML.",
    "store": "Upgrade, back up and restore the store.",
    "rules": "Export the Prometheus rules that ship with it.",
    "dashboards": "Export the Grafana dashboards that ship with it.",
    "completion": "Print the completion script of a shell.",
}

INTERRUPTED: Final = 130


class LazyGroup(click.Group):
    """A group whose commands are modules: the word `check-config` is the module `check_config`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command by its word."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"exporter.cli.{cmd_name.replace('-', '_')}").command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown word names the nearest known one."""
        import difflib  # only a typing error needs it

        word = args[0] if args else ""
        near = difflib.get_close_matches(word, COMMANDS, n=1)
        if word not in COMMANDS and not word.startswith("-") and near:
            ctx.fail(f"No such command {word!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has enough of our output, as `head`, is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="watchbridge %(version)s")
def command() -> None:
    """Watchbridge: a Prometheus exporter and alert bridge: services, packages by status, incidents and their backlog.

    Data goes to standard output, everything else to standard error. Exit status: 0 fine, 1 the check says no,
    2 usage or configuration, 3 something needed could not be reached.
    """


def run() -> NoReturn:
    """Run the command line and exit; an expected error is one line, never a traceback."""
    streams.open_closed()
    code = _outcome()
    streams.settle()
    sys.exit(code)


def _outcome() -> int:
    """Run the command line and return its exit status, after what it came to was told."""
    try:
        result = command.main(prog_name="watchbridge", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code
    except WatchbridgeError as error:
        return _told(error)
    except BrokenPipeError:
        return 0
    except OSError as error:
        kind = OutputError if streams.about_output(error) else SystemCallError
        return _told(kind(reason=f"{error.strerror or error}", where=f" ({error.filename})" if error.filename else ""))
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _told(error: WatchbridgeError) -> int:
    with contextlib.suppress(OSError):
        click.echo(f"watchbridge: {error}", err=True)
    return error.exit_code
