"""What the documents tell people to type works, in the order in which they tell it, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from servers.programs import free_port

from exporter import config

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
RUNNABLE = [path for path in DOCUMENTS if "```console\n$ " in path.read_text(encoding="utf-8")]
PORT = "10900"
ENVIRONMENT = {
    "REGISTRY_URL": "sqlite:///x.db",
    "GATEWAY_PASSWORD": "a",
    "INTRANET_PASSWORD": "a",
    "ALERTMANAGER_TOKEN": "0123456789abcdef0123456789abcdef",
}
"""What snippets of our configuration take from the environment."""
OURS = {"packages", "services", "windows", "probing", "probe_modules", "alertmanager", "rules", "queues", "backlog"} | {
    "alarms", "budgets", "fleet_breaker", "groups", "restarts",
}  # fmt: skip
"""Keys that make a snippet one of our configuration."""


def commands(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each command of a document and the output that it promises, if it does."""
    for block in re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


class Shell:
    """A folder like a new user's: the examples, our command on the PATH, nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = str(free_port())
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.db*"))
        example = folder / "examples" / "watchbridge.yml"
        example.write_text(example.read_text().replace(PORT, self.port))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {
            "PATH": path,
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.servers: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        """Run a command as the reader would type it; `export` stays in force, `serve` stays running."""
        if command.startswith("export "):
            name = command.removeprefix("export ").partition("=")[0]
            self.environment[name] = self.printed(f'{command}; printf %s "${name}"')
            return ""
        if " serve " in command:
            self.serve(command)
            return ""
        return self.printed(command)

    def printed(self, command: str) -> str:
        """Run a command in a shell of its own, and return what it prints."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace(PORT, self.port)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    def serve(self, command: str) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "serve.log").open("wb") as log:
            self.servers.append(
                subprocess.Popen(command.split(), cwd=self.folder, env=self.environment, stdout=log, stderr=log)
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        pytest.fail((self.folder / "serve.log").read_text())

    def close(self) -> None:
        """End the servers, and see that they end cleanly."""
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.name)
def test_every_command_of_a_document_works(shell: Shell, path: Path) -> None:
    """One after the other, as a reader types them; where an output is shown, it is the output."""
    if path.name != "README.md":
        # The other documents say that they go on from the README's example.
        for command, _ in list(commands(ROOT / "README.md"))[:5]:
            shell.run(command)
        shell.run("export DATABASE_URL=sqlite:///examples/packages.db")
    ran = 0
    for command, output in commands(path):
        printed = shell.run(command)
        if output.strip():
            assert printed.splitlines() == output.strip("\n").splitlines(), command
        ran += 1
    assert ran


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file of the repository, and every anchor in the same file a heading."""
    text = path.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        assert not file or (path.parent / file).exists(), target
        assert file or anchor in headings, target


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if "```yaml" in path.read_text(encoding="utf-8")], ids=lambda path: path.name
)
def test_yaml_in_documents_is_valid_and_ours_is_accepted(path: Path, tmp_path: Path) -> None:
    """Snippets of our configuration pass the check, with a database or a token added where they only use one."""
    token = tmp_path / "token"
    token.write_text(ENVIRONMENT["ALERTMANAGER_TOKEN"], encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        data = yaml.safe_load(block)
        if not OURS & set(data):
            continue
        text = block if "databases" in data else block + "\ndatabases: {registry: {url: 'sqlite:///x.db'}}\n"
        text = text.replace("/etc/watchbridge/alertmanager-token", str(token))
        config.parse(text, name=path.name, environ=ENVIRONMENT)


def test_the_readme_shows_the_example_that_ships() -> None:
    """The configuration in the README is the file in `examples/`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = (ROOT / "examples" / "watchbridge.yml").read_text(encoding="utf-8")
    assert example.split("\n", 1)[1] in readme


def test_promtool_accepts_the_example_web_config() -> None:
    """The same file serves every Prometheus component (its certificate is not there, and only that is said)."""
    done = subprocess.run(
        ["promtool", "check", "web-config", str(ROOT / "examples" / "web-config.yml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0 or "server.crt" in done.stderr + done.stdout
