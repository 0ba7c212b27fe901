"""A real systemd for tests: the first process of a private namespace, in a cgroup of its own, with units of a test."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from servers.programs import Child, MissingProgramError, ServerError, find, run, short_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLACES: Final = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
"""Where the cgroups of version 2 may be: beside those of version 1, or alone."""
DAEMON: Final = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")
TARGETS: Final = ("sysinit", "basic", "shutdown", "sockets", "timers", "paths", "slices", "test")
BEGIN: Final = """
echo $$ > "$1/cgroup.procs" || exit 90
# In the root cgroup systemd would move every process of the machine into a scope of its own.
grep -qx "0::.*/$2" /proc/self/cgroup || exit 91
exec unshare --pid --fork --kill-child --mount --propagation private --uts --ipc --cgroup --net sh -c '
  mount -t proc proc /proc && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /run || exit 92
  mkdir -p /run/systemd/system /run/lock
  exec "$1" --system --unit=test.target --show-status=no' - "$3"
"""


class NoCgroupError(MissingProgramError):
    """What runs here keeps the control groups to itself: no package that is installed would change that."""


class Systemd:
    """A running systemd; `systemctl` is a program that asks this one, in a folder of its own."""

    def __init__(self, folder: Path, units: Mapping[str, str]) -> None:
        self._units = folder / "units"
        self._units.mkdir()
        for target in TARGETS:
            self.write(f"{target}.target", f"[Unit]\nDescription={target}\n")
        for name, text in units.items():
            self.write(name, text)
        self.programs = folder / "programs"
        self._folder = folder
        self._cgroup: Path | None = None
        self._child: Child | None = None

    def write(self, unit: str, text: str) -> None:
        """Write a unit that needs nothing of an ordinary system; an empty text masks it."""
        path = self._units / unit
        if not text:
            path.symlink_to("/dev/null")
            return
        head = "[Unit]\nDefaultDependencies=no\n"
        path.write_text(head + text.removeprefix("[Unit]\n") if text.startswith("[Unit]") else head + text)

    def start(self) -> None:
        """Start it; MissingProgramError where this machine or this user cannot."""
        daemon = next(filter(os.path.exists, DAEMON), "")
        systemctl = find("systemctl", "systemd")
        if not daemon:
            raise MissingProgramError("systemd is not installed: install the package systemd, or leave its tests out.")
        for program in ("unshare", "nsenter"):
            find(program, "util-linux")
        self._cgroup = _own_cgroup()
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "container": "unshare",
            "SYSTEMD_UNIT_PATH": str(self._units),
            "SYSTEMD_LOG_TARGET": "console",
        }
        argv = ["/bin/sh", "-c", BEGIN, "-", str(self._cgroup), self._cgroup.name, daemon]
        self._child = Child(argv, self._folder / "systemd.log", environment=environment)
        first = self._child.wait_ready(self._first)
        self.programs.mkdir()
        inside = f"exec nsenter -t {first} -p -m -u -i -n -C {shlex.quote(systemctl)}"
        wrapper = self.programs / "systemctl"
        wrapper.write_text(f'#!/bin/sh\n{inside} "$@"\n')
        wrapper.chmod(0o755)
        self._child.wait_ready(self._is_up)

    def _first(self) -> int | None:
        """Return the number of the first process in there, once it is systemd."""
        assert self._child is not None
        # Of the shell that becomes `unshare`, that is the only child.
        with contextlib.suppress(OSError, IndexError):  # not yet
            child = int(Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text().split()[0])
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
        return None

    def _is_up(self) -> bool:
        try:
            return "ActiveState=active" in self.systemctl("show", "--property=ActiveState", "--", "test.target")
        except ServerError:
            return False

    def systemctl(self, *words: str) -> str:
        """Run systemctl against it; ServerError when that fails."""
        return run([str(self.programs / "systemctl"), *words])

    def shown(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", "--", unit).strip()

    def until(self, unit: str, name: str, *values: str) -> None:
        """Wait until a property of a unit has one of these values."""
        until(lambda: self.shown(unit, name) in values, 20.0, f"{name} of {unit} becoming {values}")

    def stop(self) -> None:
        """End all of it: with its first process, every other one of the namespace ends."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)
        if self._cgroup is not None:
            until(self._is_swept, 20.0, f"the end of all processes in {self._cgroup}")

    def _is_swept(self) -> bool:
        assert self._cgroup is not None
        try:
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                Path(folder).rmdir()
        except OSError:  # a process is still ending
            return False
        return not self._cgroup.exists()


@contextlib.contextmanager
def running(units: Mapping[str, str]) -> Iterator[Systemd]:
    """Give a running systemd; tests are skipped where there can be none, but fail in CI where it is not installed."""
    with short_folder() as folder:
        server = Systemd(folder, units)
        try:
            try:
                server.start()
            except NoCgroupError as error:
                pytest.skip(str(error))
            except MissingProgramError as error:
                if os.environ.get("CI"):
                    pytest.fail(str(error), pytrace=False)
                pytest.skip(str(error))
            yield server
        finally:
            server.stop()


def _own_cgroup() -> Path:
    """Make a cgroup; NoCgroupError where this user may not."""
    for place in PLACES:
        if (place / "cgroup.procs").exists():
            folder = place / f"watchbridge-test-{uuid.uuid4().hex[:8]}"
            try:
                folder.mkdir()
            except OSError as error:
                raise NoCgroupError(
                    f"A private systemd needs a cgroup of its own, which this user may not make ({error.strerror}): "
                    "run the tests as root, or leave these out."
                ) from error
            return folder
    raise NoCgroupError("A private systemd needs cgroups of version 2, which are not mounted here.")


def namespaced(*words: str) -> list[str]:
    """Return what runs a program as the first process of a namespace of processes of its own."""
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *rights, "--pid", "--fork", "--kill-child", "--mount-proc", *words]


def has_namespaces() -> bool:
    """Return whether this user can have one."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(namespaced("true"), capture_output=True, timeout=20, check=False).returncode == 0
    return False
