"""What is rendered incrementally is what a fresh render gives, what the reference gives, and what Prometheus takes."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from shipped.tools import program

from exporter.errors import FamilyDeclarationError
from exporter.exposition import Exposition, Form
from exporter.labels import normalised
from exporter.model import Family, Samples

TEXT, OPENMETRICS = Form.TEXT_0_0_4, Form.OPENMETRICS_1_0_0
FORMS = [pytest.param(TEXT, id="text"), pytest.param(OPENMETRICS, id="OpenMetrics")]
PACKAGES = Family("watchbridge_packages", "gauge", 'Packages by "status" \\ source.\n', ("source", "status"))
RUNS = Family("watchbridge_probe_runs_total", "counter", "Runs of probes.", ("target",))
UP = Family("watchbridge_build_info", "gauge", "One.")
FAMILIES = (PACKAGES, RUNS, UP)

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=20)
NUMBERS = st.floats() | st.integers(-(2**70), 2**70) | st.booleans()
COUNTS = st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(0, 2**70)


def samples_of(text: st.SearchStrategy[str], numbers: st.SearchStrategy[Any] = NUMBERS) -> st.SearchStrategy[Samples]:
    return st.fixed_dictionaries(
        {},
        optional={
            PACKAGES: st.dictionaries(st.tuples(text, text), numbers, max_size=12),
            RUNS: st.dictionaries(st.tuples(text), COUNTS, max_size=6),
            UP: st.dictionaries(st.just(()), numbers),
        },
    )


def reference(samples: Samples) -> CollectorRegistry:
    """Return a registry of prometheus_client that collects the same samples."""

    class Collected:
        def collect(self) -> list[Metric]:
            metrics: list[Metric] = []
            for family, series in sorted(samples.items(), key=lambda pair: pair[0].name):
                if series:
                    kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
                    metric = kind(family.name, family.help, labels=family.labels)
                    for labels, value in series.items():
                        metric.add_metric(labels, value)
                    metrics.append(metric)
            return metrics

    registry = CollectorRegistry()
    registry.register(Collected())
    return registry


def parsed(body: bytes, form: Form) -> list[Any]:
    """Return what the reference's parser reads: per family its description and its samples in order."""
    parse = parse_openmetrics if form.openmetrics else parse_text
    return [
        (
            metric.name,
            metric.type,
            metric.documentation,
            [(s.name, s.labels, comparable(s.value)) for s in metric.samples],
        )
        for metric in parse(body.decode())
    ]


def comparable(value: float) -> object:
    return "NaN" if math.isnan(value) else value


@pytest.mark.parametrize("form", FORMS)
@given(samples_of(ANYTHING.map(normalised)))
def test_the_reference_encoder_says_the_same(form: Form, samples: Samples) -> None:
    ours = Exposition(FAMILIES).render([samples], form)
    registry = reference(samples)
    theirs = generate_openmetrics(registry) if form.openmetrics else generate_latest(registry)
    assert parsed(ours, form) == parsed(theirs, form)


@pytest.mark.parametrize("form", FORMS)
@given(samples_of(ANYTHING))
def test_labels_that_nobody_normalised_break_nothing(form: Form, samples: Samples) -> None:
    """Whatever the text, both parsers read the body, and no combination of labels comes twice."""
    for _, _, _, read in parsed(Exposition(FAMILIES).render([samples], form), form):
        combinations = [tuple(labels.items()) for _, labels, _ in read]
        assert len(set(combinations)) == len(combinations)


def test_labels_that_look_the_same_once_mended_give_one_series() -> None:
    """Two equal series would make Prometheus refuse the whole scrape: the last value counts, until one is gone."""
    exposition = Exposition(FAMILIES)
    shown = []
    for texts in (["\ud800", "a", "\udc00"], ["\ud800", "a"], ["\x00", "\ufffd"], ["a"]):
        series: dict[tuple[str, ...], float] = {(text, "s"): number for number, text in enumerate(texts)}
        body = exposition.render([{PACKAGES: series}], TEXT).decode()
        shown.append([(s.labels["source"], s.value) for metric in parse_text(body) for s in metric.samples])
    assert shown == [[("\ufffd", 2), ("a", 1)], [("\ufffd", 0), ("a", 1)], [("\ufffd", 1)], [("a", 0)]]


@given(
    st.lists(
        st.tuples(
            st.lists(samples_of(st.sampled_from(["a", "b", "\ud800", "\ufffd", ""])), max_size=3), st.sampled_from(Form)
        )
    )
)
def test_an_incremental_render_is_a_fresh_render(scrapes: list[tuple[list[Samples], Form]]) -> None:
    kept = Exposition(FAMILIES)
    for sources, form in scrapes:
        fresh = Exposition(FAMILIES)
        assert kept.render(sources, form) == fresh.render(sources, form)
        assert kept.refused == fresh.refused == 0


SMALL = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("xy")) | st.just(("one",)) | st.just((1, 2)),
    st.sampled_from([0, 0.5, -0.0, float("nan"), True, None, "text", Decimal("sNaN"), Decimal("2.5")]),
)


@given(st.lists(SMALL, max_size=8))
def test_what_cannot_be_written_comes_and_goes_alone(scrapes: list[Any]) -> None:
    kept = Exposition(FAMILIES)
    for series in scrapes:
        good = {
            labels: value
            for labels, value in series.items()
            if len(labels) == 2 and isinstance(labels[0], str) and not (value is None or str(value) in {"text", "sNaN"})
        }
        assert kept.render([{PACKAGES: series}], TEXT) == Exposition(FAMILIES).render([{PACKAGES: good}], TEXT)
        assert kept.refused == len(series) - len(good)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param([], "", id="no source"),
        pytest.param([{}, {PACKAGES: {}}], "", id="no samples, no description"),
        pytest.param([{UP: {(): 1}}, {RUNS: {("t",): 2}}], "watchbridge_build_info 1\nruns 2", id="families by name"),
        pytest.param([{RUNS: {("t",): 1}}, {RUNS: {("t",): 2}}], "runs 2", id="the last of a repeated label set wins"),
        pytest.param(
            [{RUNS: {("t",): 1}}, {UP: {(): 1}}, {RUNS: {("u",): 3}}],
            "watchbridge_build_info 1\nruns 1\nu 3",
            id="one family of two sources",
        ),
    ],
)
def test_sources_are_joined(sources: list[Samples], expected: str) -> None:
    body = Exposition(FAMILIES).render(sources, TEXT).decode()
    shown = "\n".join(line for line in body.splitlines() if not line.startswith("#"))
    shown = shown.replace('watchbridge_probe_runs_total{target="t"}', "runs").replace(
        'watchbridge_probe_runs_total{target="u"}', "u"
    )
    assert shown == expected
    assert all(body.count(f"# HELP {family.name} ") <= 1 for family in FAMILIES)


@pytest.mark.parametrize(
    ("met", "shown"),
    [
        pytest.param(Family("y", "gauge", "Y."), True, id="a new family"),
        pytest.param(Family("x", "gauge", "X."), True, id="the same declaration again"),
        pytest.param(Family("x", "gauge", "Another."), False, id="another help"),
        pytest.param(Family("x", "histogram", "X."), False, id="another type"),
        pytest.param(Family("x_total", "counter", "X."), False, id="the same name in OpenMetrics"),
        pytest.param(Family("9", "gauge", "X."), False, id="an invalid name"),
    ],
)
def test_a_family_met_later_is_shown_when_it_fits(met: Family, shown: bool) -> None:  # noqa: FBT001 # a table's column
    first = Family("x", "gauge", "X.")
    exposition = Exposition([first])
    body = exposition.render([{met: {(): 7}}, {first: {}}], TEXT)
    assert (b" 7\n" in body) is shown
    assert exposition.refused == (0 if shown else 1)


def test_families_that_contradict_each_other_are_refused_at_once() -> None:
    with pytest.raises(FamilyDeclarationError, match="contradicts the gauge 'x'"):
        Exposition([Family("x", "gauge", "X."), Family("x_total", "counter", "X.")])


def test_what_is_kept_is_what_was_shown_last() -> None:
    """Labels that come and go for ever take no more memory than one scrape shows."""
    exposition = Exposition(FAMILIES)
    for scrape in range(50):
        series: dict[tuple[str, ...], float] = {
            (f"source-{scrape}-{number}", "Pending"): number for number in range(200)
        }
        exposition.render([{PACKAGES: series}], TEXT)
        kept = exposition._kept[PACKAGES]
        assert list(exposition._kept) == [PACKAGES]
        assert len(kept.lines) == len(kept.labels) == len(kept.values) == 200
    exposition.render([], TEXT)
    assert not exposition._kept


def test_threads_wait_for_each_other() -> None:
    exposition = Exposition(FAMILIES)
    bodies = {number: {PACKAGES: {(f"s{n}", "Pending"): n * number for n in range(number, 300)}} for number in range(8)}
    expected = {number: Exposition(FAMILIES).render([samples], TEXT) for number, samples in bodies.items()}
    with ThreadPoolExecutor(8) as pool:
        rendered = pool.map(lambda turn: (turn % 8, exposition.render([bodies[turn % 8]], TEXT)), range(200))
        assert all(body == expected[number] for number, body in rendered)


def test_promtool_finds_nothing_to_say() -> None:
    promtool = program("promtool", "prometheus")
    histogram = Family("watchbridge_wait_seconds", "histogram", "Waits.")
    samples: Samples = {
        Family("watchbridge_packages", "gauge", "Packages.", ("source", "status")): {
            ("npm", normalised(text)): 1.5 for text in ('a"b', "c\\d", "e\nf", "\ud800", "\x00", "é", "🐘", "")
        },
        RUNS: {("web",): 3},
        histogram: {("0.5",): 1, ("+Inf",): 2, ("sum",): 3.5, ("count",): 2},
        Family("watchbridge_age_seconds", "gauge", "Ages.", ("source",)): {
            ("a",): math.nan,
            ("b",): math.inf,
            ("c",): -math.inf,
        },
    }
    body = Exposition(()).render([samples], TEXT)
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_package_imports_no_loop_server_or_driver() -> None:
    code = (
        "import sys; before = set(sys.modules); import exporter.exposition\n"
        "unwanted = {'asyncio', 'aiohttp', 'sqlalchemy', 'prometheus_client', 'subprocess'}\n"
        "print(*sorted(unwanted & set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == ""
