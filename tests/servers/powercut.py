"""What is on the disk after a power cut, worked out from the system calls of a program that strace has written down.

A file holds for sure what was written before its last fsync or fdatasync ended. What was written since may be there,
in part, or torn: the cuts here try the three.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

ARGUMENTS = (
    *("-f", "-y", "-xx", "-s", "2000000", "--seccomp-bpf"),
    *("-e", "trace=openat,pwrite64,write,sendto,sendmsg,writev,fsync,fdatasync,ftruncate,unlink,rename"),
    *("-e", "signal=none"),
)
"""What strace is to be told before `-o FILE PROGRAM`."""

SECTOR = 512
"""Bytes that a disk writes as a whole."""

_LINE = re.compile(r"^(\d+) +(.*)$")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)", re.DOTALL)
_PLACE = re.compile(r"^\d+<([^>]*)>")
_QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_ANSWER = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: what (`write`, `cut`, `begin sync`, `sync`, `remove`, `answer`), to which file.

    `cut` makes a file `offset` bytes long.
    """

    what: str
    path: str = ""
    offset: int = 0
    data: bytes = b""


def events(trace: Path, folder: Path) -> list[Event]:
    """Return what a program did to files of a folder, and its answers of 200, in their order."""
    found: list[Event] = []
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            match = _LINE.match(line.rstrip("\n"))
            if match is None:
                continue
            thread, said = match.groups()
            if said.endswith(_UNFINISHED):
                begun[thread] = said.removesuffix(_UNFINISHED)
                found += _entered(begun[thread], folder)
                continue
            if (resumed := _RESUMED.match(said)) is not None:
                said = begun.pop(thread, "") + resumed[2]
            elif said.startswith(("fsync", "fdatasync")):
                found += _entered(said, folder)
            found += _done(said, folder)
    return found


def _entered(said: str, folder: Path) -> Iterator[Event]:
    name, _, rest = said.partition("(")
    place = _PLACE.match(rest)
    if name in {"fsync", "fdatasync"} and place is not None and _text(place[1]).startswith(str(folder)):
        yield Event("begin sync", _text(place[1]))


def _done(said: str, folder: Path) -> Iterator[Event]:
    match = _CALL.match(said)
    if match is None or int(match[3]) < 0:
        return
    name, arguments, result = match[1], match[2], int(match[3])
    quoted = [_bytes(one) for one in _QUOTED.findall(arguments)]
    if name in {"sendto", "sendmsg", "writev", "write"} and quoted and quoted[0].startswith(_ANSWER):
        yield Event("answer")
        return
    if name == "unlink":
        yield Event("remove", quoted[0].decode())
        return
    place = _PLACE.match(arguments)
    path = "" if place is None else _text(place[1])
    if not path.startswith(str(folder)):
        return
    if name == "pwrite64":
        yield Event("write", path, int(arguments.rpartition(", ")[2]), quoted[0][:result])
    elif name == "ftruncate":
        yield Event("cut", path, int(arguments.rpartition(", ")[2]))
    elif name in {"fsync", "fdatasync"}:
        yield Event("sync", path)


def _text(said: str) -> str:
    return _bytes(said).decode() if said.startswith("\\x") else said


def _bytes(said: str) -> bytes:
    return bytes.fromhex(said.replace("\\x", ""))


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)
    begun: int = 0

    def sync(self) -> None:
        for event in self.pending[: self.begun]:
            _apply(self.durable, event)
        del self.pending[: self.begun]
        self.begun = 0


@dataclass(slots=True)
class Disk:
    """A disk to which events happen one after the other; `syncs` False is one that ignores every sync."""

    syncs: bool = True
    files: dict[str, _File] = field(default_factory=dict)
    answers: int = 0

    def happen(self, event: Event) -> None:
        """Take one event."""
        if event.what == "answer":
            self.answers += 1
        elif event.what == "remove":
            self.files.pop(event.path, None)
        else:
            file = self.files.setdefault(event.path, _File())
            if event.what == "begin sync":
                file.begun = len(file.pending)
            elif event.what == "sync":
                if self.syncs:
                    file.sync()
            else:
                file.pending.append(event)

    def cut(self, target: Path, how: str, chance: random.Random) -> None:
        """Write what is left after a power cut into a folder: of what was not synced nothing, a `prefix`, or `torn`."""
        for path, file in self.files.items():
            content = bytearray(file.durable)
            for event in _left(file.pending, how, chance):
                _apply(content, event)
            (target / path.rpartition("/")[2]).write_bytes(content)


def _left(pending: list[Event], how: str, chance: random.Random) -> list[Event]:
    if how == "nothing" or not pending:
        return []
    count = chance.randrange(len(pending) + 1)
    if how == "prefix":
        return pending[:count]
    # Disks write in any order, and the last write may be half done.
    left = chance.sample(pending, count)
    if left and left[-1].what == "write":
        last = left[-1]
        size = chance.randrange(len(last.data) // SECTOR + 1) * SECTOR
        left[-1] = Event("write", last.path, last.offset, last.data[:size])
    return left


def _apply(content: bytearray, event: Event) -> None:
    if event.what == "cut":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    content.extend(bytes(max(0, end - len(content))))
    content[event.offset : end] = event.data
