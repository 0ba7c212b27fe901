"""Programs that the configuration names: which file that is, whether it may be run, and how its end is told."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
from pathlib import Path
from typing import Final

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a program that is only named is looked for: what PATH this process has must not choose the program."""
QUOTED: Final = 120
"""Characters of a program's name, or of its output, that a sentence quotes."""
_LOOKED_AT: Final = 4096


def found(program: str) -> str | None:
    """Return the absolute path of a program that may be run; None for a relative path and where there is none."""
    if not program or "\0" in program or _is_relative(program):
        return None
    path = shutil.which(program, path=None if sys.platform == "win32" else PATH)
    return path if path and Path(path).is_absolute() else None


def _is_relative(program: str) -> bool:
    """Return whether it is a path that depends on where this process happens to be."""
    path = Path(program)
    return not path.is_absolute() and (len(path.parts) > 1 or program.startswith("."))


def untrusted(program: str) -> str | None:
    """Return why a program must not be run, as a sentence; None where it may be, and where there is none here."""
    if _is_relative(program):
        return f"{program[:QUOTED]!r} is a relative path: write the whole path, beginning with /"
    return None if found(program) is None else problem(program)


def absent(program: str) -> str | None:
    """Return that there is no such program on this host, as a sentence; None where there is one, or must not be."""
    return None if _is_relative(program) or found(program) is not None else problem(program)


def problem(program: str) -> str | None:
    """Return why a program cannot or must not be run, as a sentence; None where it may be."""
    shown = program[:QUOTED]
    if _is_relative(program):
        return f"{shown!r} is a relative path: write the whole path, beginning with /"
    if not Path(program).is_absolute():
        return f"there is no program {shown!r} in {PATH}: install it, or write its whole path"
    if found(program) is None:
        return f"{shown!r} is no program that this user may run: check its path and its mode"
    return _writable_problem(Path(program))


def _writable_problem(program: Path) -> str | None:
    """Say what lets anybody put another program in the place of this one; the mode means nothing on Windows."""
    if sys.platform == "win32":
        return None
    real = Path(os.path.realpath(program))
    if real.stat().st_mode & stat.S_IWOTH:
        return f"anybody may write to {str(real)!r}, so anybody could have it run: give it the mode 0755"
    for folder in {program.parent, real.parent}:
        if folder.stat().st_mode & stat.S_IWOTH:
            return f"anybody may put a program into {str(folder)!r}: move it to a folder that only its owner writes to"
    for folder in (*program.parent.parents, *real.parent.parents):
        mode = folder.stat().st_mode
        # Where the sticky bit is set, as on /tmp, nobody can rename the folders of others.
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"anybody may replace what is in {str(folder)!r}: move the program out of it"
    return None


def ended(code: int) -> str:
    """Return how a program ended, in words: by its exit status, or by a signal (a negative number)."""
    return f"exit status {code}" if code >= 0 else f"ended by the signal {_signal(-code)}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def quoted(*outputs: bytes) -> str:
    """Return the first line that was said, printable and short, after a colon; nothing where nothing was said.

    The outputs are looked at in their order: the second where the first has no line.
    """
    for said in outputs:
        lines = (line.strip() for line in said[:_LOOKED_AT].decode(errors="replace").splitlines())
        if line := next(filter(None, lines), ""):
            clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in line[: QUOTED + 1])
            return f": {clean if len(clean) <= QUOTED else clean[: QUOTED - 1] + '…'}"
    return ""
