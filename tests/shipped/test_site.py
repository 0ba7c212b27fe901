"""The site that alerts and the package point at can be built, and has the places that they name."""

from __future__ import annotations

import re
import sys

import pytest
import yaml
from shipped.tools import ROOT, run

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
DOCS = ROOT / SITE["docs_dir"]
URL = re.compile(r"https://watchbridge\.readthedocs\.io/en/latest/([\w/-]*)(?:#([\w-]+))?")
NAMING = ("pyproject.toml", "Dockerfile", "examples", "helm", "rules", "grafana", "README.md")


def pages(nav):
    """Yield the file of every entry, at whatever depth."""
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from pages(value) if isinstance(value, list) else (value,)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as its host does, where every warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", ROOT / "mkdocs.yml", "-d", folder)
    return folder


def test_every_document_has_its_entry():
    """Nothing is named that is not there, and nothing is there that nobody finds."""
    assert sorted(pages(SITE["nav"])) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def named():
    """Return the pages and anchors of the site that our files name."""
    places = [ROOT / name for name in NAMING]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    return sorted({found for file in files for found in URL.findall(file.read_text("utf-8", "replace"))})


@pytest.mark.parametrize(("page", "anchor"), named(), ids="#".join)
def test_what_our_files_name_is_on_the_site(site, page, anchor):
    """The page exists as it is built, and the anchor as it is written there, once."""
    text = (site / page / "index.html").read_text("utf-8")
    if anchor:
        assert len(re.findall(rf'id="{re.escape(anchor)}"', text)) == 1


def test_alerts_name_the_site():
    """The table above is not empty by accident."""
    assert len([anchor for page, anchor in named() if page == "runbook/" and anchor]) > 8
