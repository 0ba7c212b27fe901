"""What names a process, and what starts it."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter import programs
from exporter.config.options import Duration, option
from exporter.config.secrets import looks_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Told = tuple[tuple[str | int, ...], str]

ARGV_HELP: Final = (
    "The program and its arguments, as it is started: no shell, and not in the background. A program without a path is "
    "looked for in the system's folders."
)
ROOT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A program, and how the process is known that it runs as: by its command line, or by a pid file."""

    argv: tuple[str, ...] = option(help=ARGV_HELP, example=["/opt/worker", "--queue", "mail"], minimum=1, maximum=1000)
    pid_file: Path | None = option(
        None,
        help="A file in which the program writes the number of its process: that one is ended, where its command line "
        "fits as well. Left out: every process whose command line fits.",
        example="/run/worker.pid",
    )
    match: tuple[str, ...] | None = option(
        None,
        help="How the command line of the process begins, word for word. Left out: it is `argv`, all of it.",
        example=["worker: main process"],
        minimum=1,
        maximum=1000,
    )
    user: str | None = option(
        None,
        help="The user it is started as, whose processes alone are ended (those of anybody, for root); only root can "
        "name another. Left out: the user that Watchbridge runs as.",
        example="www-data",
        minimum=1,
    )
    stop_timeout: Duration = option(
        Duration(10.0), help="How long it may take to end by SIGTERM; then SIGKILL ends it.", minimum=0, maximum=3600
    )
    log: Path | None = option(
        None, help="A file that its output is appended to. Left out, nobody sees it.", example="/var/log/worker.log"
    )
    directory: Path = option(Path("/"), help="The folder that it is started in.", example="/srv/worker")
    # Not shown: what a program is given may be a secret.
    environment: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata={"help": "Variables beside PATH, LANG and HOME; it gets no others."}
    )

    def __post_init__(self) -> None:
        """Resolve the program once: what is put into PATH's folders later is not run instead."""
        if self.argv and (found := programs.found(self.argv[0])) is not None:
            object.__setattr__(self, "argv", (found, *self.argv[1:]))

    @property
    def meant(self) -> str:
        """Which process is meant, in words."""
        if self.pid_file is not None:
            return f"process of {str(self.pid_file)!r}"
        if self.match is not None:
            return f"process whose command line begins with: {shlex.join(self.match)}"
        return f"process with the command line: {shlex.join(self.argv)}"

    def hidden(self) -> Iterator[str]:
        """Yield the variables that are secrets by their names: a program may print what it was given."""
        yield from (value for name, value in self.environment.items() if looks_secret(name, value))

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield what is wrong with the program, with what it is given, and with how it is known."""
        del configuration
        if sentence := programs.untrusted(self.argv[0]):
            yield ("argv", 0), sentence
        for key, words in (("argv", self.argv), ("match", self.match or ())):
            for index, text in enumerate(words):
                if "\0" in text:
                    yield (key, index), "holds a NUL character, which no command line does"
        if self.match is not None and not any(self.match):
            yield ("match",), "would fit any process without a name: write how the command line begins"
        for name, value in self.environment.items():
            if "=" in name or "\0" in name + value:
                yield ("environment", name), "wanted a name without = and neither name nor value with a NUL character"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield a program that is not here."""
        del configuration
        if self.argv and (sentence := programs.absent(self.argv[0])):
            yield ("argv", 0), f"{sentence}; until then it fails on this host"

    def whose(self) -> int | None:
        """Return the number of the user whose processes are meant; None for anybody's, and where there are none.

        LookupError when there is no such user.
        """
        if sys.platform == "win32":
            return None
        if os.geteuid() != ROOT:
            return os.geteuid()
        number = ROOT if self.user is None else number_of(self.user)
        return None if number == ROOT else number

    def foreign(self, users: set[int | None]) -> str | None:
        """Return why processes of these users must not be ended: what is started instead would have other rights."""
        if sys.platform == "win32" or self.user is not None or os.geteuid() != ROOT:
            return None
        others = sorted(one for one in users if one not in {None, ROOT})
        if not others:
            return None
        name = name_of(others[0])
        return (
            f"the {self.meant} runs as the user {name} and would be started as root: write `user: {name}`, or "
            "`user: root` where root is meant"
        )


def number_of(user: str) -> int:
    """Return the number of a user of this host; LookupError when there is no such user."""
    if sys.platform == "win32":
        raise KeyError(user)
    import pwd  # noqa: PLC0415 - Windows has none

    return pwd.getpwnam(user).pw_uid


def name_of(number: int) -> str:
    """Return the name of a user of this host, or the number where it has none."""
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - Windows has none

        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            pass
    return str(number)
