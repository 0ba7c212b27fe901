"""The wheel built from this checkout, installed apart, and its program as a real process."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.programs import START_SECONDS, STOP_SECONDS, Child, run

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 300.0
# What a program needs of the machine; everything else of the tester's environment would be luck.
KEPT = ("RUNTIME_DIRECTORY", "PATH", "SYSTEMROOT", "TZ", "LD_LIBRARY_PATH")


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the checkout and return its path; without the network where hatchling is installed."""
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *isolation, "-w", str(folder), str(CHECKOUT)]
    run(argv, seconds=BUILD_SECONDS)
    return next(folder.glob("*.whl"))


def install_wheel(wheel: Path, target: Path) -> Path:
    """Install a wheel without its dependencies into a folder of its own and return that."""
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-warn-script-location"]
    run([*argv, "--target", str(target), str(wheel)], seconds=BUILD_SECONDS)
    return target


class Program:
    """A started `watchbridge` process with what it has printed so far."""

    def __init__(self, argv: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / "output"
        self._child = Child(argv, self._log, cwd=folder, environment=environment)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._child.exit_code

    def output(self) -> str:
        """Return all that it printed, standard output and standard error together."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """Return the lines of its log that are JSON objects."""
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line.endswith("}")]

    def urls(self) -> list[str]:
        """Return the URLs it logged that it listens on, in their order."""
        return [record["url"] for record in self.records() if "url" in record]

    @property
    def url(self) -> str:
        """Return the URL of its first listener."""
        return self.urls()[0]

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until it logs the URL it listens on; ServerError with its output when it ends instead."""
        self._child.wait_ready(self.urls, seconds)

    def send(self, number: int) -> None:
        """Send a signal."""
        self._child.send(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end and return the exit status; TimeoutError after `seconds`."""
        return self._child.wait(seconds)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask it to end (SIGTERM) and return the exit status; TimeoutError when it does not."""
        self._child.send(signal.SIGTERM)
        return self._child.wait(seconds)

    def kill(self) -> int:
        """Kill it (SIGKILL) and return the exit status."""
        return self._child.end(signal.SIGKILL)


class Watchbridge:
    """Starts the installed program: `watchbridge("serve", config=…)` goes on, `watchbridge.run("--version")` ends."""

    def __init__(self, target: Path, folder: Path) -> None:
        self.target = target
        self.folder = folder
        self.started: list[Program] = []

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return a clean environment in which the wheel comes before everything the interpreter has installed."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        clean = {"HOME": str(self.folder), "LANG": "C.UTF-8", "PYTHONPATH": str(self.target), "PYTHONUNBUFFERED": "1"}
        return {**kept, **clean, **(extra or {})}

    def configuration(self, config: str | Mapping[str, Any], name: str = "watchbridge.yml") -> Path:
        """Write a configuration (YAML text or the object it means) and return its path."""
        path = self.folder / name
        path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
        path.chmod(0o600)
        return path

    def __call__(
        self,
        *arguments: str,
        config: str | Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Program:
        """Start `watchbridge ARGUMENTS [--config FILE]` in a folder of its own, and wait for the URL it logs."""
        folder = self.folder / f"run-{len(self.started)}"
        folder.mkdir()
        argv = [sys.executable, "-m", "exporter", *arguments]
        if config is not None:
            argv += ["--config", str(self.configuration(config))]
        program = Program(argv, folder, self.environment(env))
        self.started.append(program)
        if wait:
            program.wait_ready()
        return program

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "", seconds: float = START_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; standard output and standard error apart."""
        return subprocess.run(
            [sys.executable, "-m", "exporter", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd=self.folder,
            env=self.environment(env),
        )

    def close(self) -> None:
        """Kill what still runs."""
        for program in self.started:
            program.kill()
