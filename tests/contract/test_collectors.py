"""Every kind of collector, found by its file name, keeps the promises of `exporter.model.Collector`."""

from __future__ import annotations

import dataclasses
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

import exporter
from exporter import kinds
from exporter.clock import SystemClock
from exporter.errors import UnknownKindError
from exporter.exposition import Exposition, checked, negotiate
from exporter.model import Family, Reload, Samples, Source
from exporter.scrape import Scrape, ScrapeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTORS = kinds.words("collectors")
FOLDER = Path(exporter.__file__).parent / "collectors"


class Nothing:
    """The parts of a configuration that names nothing."""

    databases: Mapping[str, object] = {}
    clock = SystemClock()
    reload = Reload(successful=True, success_at=1.0)
    watch = None
    bridge = None

    def options(self, collector: str) -> Mapping[str, object]:
        return {}


def test_the_word_is_the_file_name() -> None:
    """There is no second list to keep."""
    assert set(COLLECTORS) == {path.stem for path in FOLDER.iterdir() if not path.name.startswith("_")}


@pytest.mark.parametrize("word", COLLECTORS)
def test_a_collector_declares_its_families(word: str) -> None:
    """Valid names, a HELP that is a sentence, base units, no label that Prometheus' discovery sets."""
    families = kinds.load("collectors", word).FAMILIES
    assert families
    for family in families:
        checked(family)
        assert family.name.startswith(("watchbridge_", "process_", "python_"))
        assert family.name.endswith("_total") == (family.type == "counter")
        assert not {"service", "env", "region", "zone", "type", "job", "instance"} & set(family.labels)
        if family.name.startswith("watchbridge_"):
            assert family.help.endswith(".")


@pytest.mark.parametrize("word", COLLECTORS)
def test_a_collector_says_what_it_is(word: str) -> None:
    """The module has a docstring, and its options are frozen and explained."""
    module = kinds.load("collectors", word)
    assert module.__doc__
    options = getattr(module, "Options", None)
    if options is not None:
        assert dataclasses.is_dataclass(options)
        assert options.__dataclass_params__.frozen
        assert options.__doc__


@pytest.mark.parametrize("word", COLLECTORS)
async def test_a_collector_makes_sources_that_are_isolated_and_declared(word: str) -> None:
    """With nothing configured it makes no more than it can read, and every family it fills is declared."""
    module = kinds.load("collectors", word)
    for source in module.sources(Nothing()):
        assert source.collector == word
        assert set(await source.read()) <= set(module.FAMILIES)


def test_no_family_is_declared_twice() -> None:
    """One name has one meaning, wherever it comes from."""
    names = [family.name for word in COLLECTORS for family in kinds.load("collectors", word).FAMILIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("word", "hint"), [("package", "did you mean 'packages'"), ("zebra", "known are actions")])
def test_an_unknown_word_names_the_nearest(word: str, hint: str) -> None:
    """A typing error in a kind is a sentence."""
    with pytest.raises(UnknownKindError, match=re.escape(hint)):
        kinds.load("collectors", word)


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Install a collector of somebody else by an entry point."""
    module = ModuleType("their_collector")
    family = Family("watchbridge_moons", "gauge", "Moons.", ("planet",), data_label="planet")

    async def read() -> Samples:
        return {family: {("Mars",): 2.0}}

    module.FAMILIES = (family,)  # type: ignore[attr-defined]
    module.sources = lambda _: [Source("moons", "near", read)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_collector", module)
    point = EntryPoint("moons", "their_collector", "watchbridge.collectors")
    ours = EntryPoint("packages", "their_collector", "watchbridge.collectors")
    monkeypatch.setattr(kinds, "entry_points", lambda **_: (point, ours))
    return module


async def test_a_third_party_collector_is_scraped_like_ours(third_party: ModuleType) -> None:
    """An entry point of the group is all it needs; it cannot take the place of one of ours."""
    assert "moons" in kinds.words("collectors")
    assert kinds.load("collectors", "moons") is third_party
    assert kinds.load("collectors", "packages").__name__ == "exporter.collectors.packages"
    scrape = Scrape(third_party.sources(Nothing()), ScrapeOptions(), SystemClock())
    samples = await scrape.collect(None, 1.0)
    body = Exposition(third_party.FAMILIES).render(samples, negotiate(None).form).decode()
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["watchbridge_moons"].samples[0].value == 2.0
