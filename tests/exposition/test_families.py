"""Declarations that break a rule are refused; lines are spelled as both forms want them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.errors import FamilyDeclarationError
from exporter.exposition import Exposition, Form, checked
from exporter.model import Family

TEXT, OPENMETRICS = Form.TEXT_0_0_4, Form.OPENMETRICS_1_0_0
VALUE = Family("x", "gauge", "X.")
LABELLED = Family("x", "gauge", "X.", ("a",))


def lines(family: Family, labels: Any, value: Any, form: Form = TEXT) -> list[str]:
    return Exposition([family]).render([{family: {labels: value}}], form).decode().splitlines()


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(VALUE, id="a gauge"),
        pytest.param(Family("x_total", "counter", "X.", ("a", "b")), id="a counter"),
        pytest.param(Family("x_seconds", "histogram", "X.", ("a",)), id="a histogram"),
        pytest.param(Family("_x:9", "gauge", "X.", ("_a", "A9")), id="every kind of character"),
        pytest.param(Family("x", "gauge", "X.", ("a",), data_label="a"), id="a data label"),
    ],
)
def test_a_valid_family_passes(family: Family) -> None:
    assert checked(family) is family


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        pytest.param(Family("", "gauge", "X."), "its name", id="no name"),
        pytest.param(Family("9x", "gauge", "X."), "its name", id="a digit first"),
        pytest.param(Family("x-y", "gauge", "X."), "its name", id="a dash"),
        pytest.param(Family("x\n", "gauge", "X."), "its name", id="a newline"),
        pytest.param(Family("é", "gauge", "X."), "its name", id="a letter beyond ASCII"),
        pytest.param(Family("x", "summary", "X."), "its type 'summary'", id="an unknown type"),  # type: ignore[arg-type] # the point
        pytest.param(Family("x", "counter", "X."), "ends in _total", id="a counter without _total"),
        pytest.param(Family("x_total", "gauge", "X."), "only counters", id="a gauge with _total"),
        pytest.param(Family("x_sum", "gauge", "X."), "only counters", id="a gauge with _sum"),
        pytest.param(Family("x_bucket", "histogram", "X."), "only counters", id="a histogram with _bucket"),
        pytest.param(Family("x", "gauge", " "), "no help", id="no help"),
        pytest.param(Family("x", "gauge", "X.", ("9",)), "its label '9'", id="a label that begins with a digit"),
        pytest.param(Family("x", "gauge", "X.", ("a-b",)), "its label 'a-b'", id="a label with a dash"),
        pytest.param(Family("x", "gauge", "X.", ("__a",)), "its label '__a'", id="a label of Prometheus itself"),
        pytest.param(Family("x", "gauge", "X.", ("le",)), "'le' belongs", id="le"),
        pytest.param(Family("x", "gauge", "X.", ("quantile",)), "'quantile' belongs", id="quantile"),
        pytest.param(Family("x", "gauge", "X.", ("a", "a")), "named twice", id="a label twice"),
        pytest.param(
            Family("x", "gauge", "X.", ("a",), data_label="b"), "data_label 'b'", id="an undeclared data label"
        ),
    ],
)
def test_an_invalid_family_is_refused_by_name_and_reason(family: Family, reason: str) -> None:
    with pytest.raises(FamilyDeclarationError) as caught:
        Exposition([family])
    assert repr(family.name) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        pytest.param(17, "17", id="an integer"),
        pytest.param(17.0, "17", id="a whole float"),
        pytest.param(-3.0, "-3", id="negative"),
        pytest.param(0.0, "0", id="zero"),
        pytest.param(-0.0, "0", id="negative zero"),
        pytest.param(True, "1", id="true"),
        pytest.param(False, "0", id="false"),
        pytest.param(0.1, "0.1", id="a fraction"),
        pytest.param(0.1 + 0.2, "0.30000000000000004", id="the shortest text that reads back"),
        pytest.param(1732300000.123, "1732300000.123", id="a timestamp"),
        pytest.param(2**53, "9007199254740992", id="the largest run of whole floats"),
        pytest.param(1e16, "1e+16", id="large"),
        pytest.param(5e-324, "5e-324", id="smallest"),
        pytest.param(1.7976931348623157e308, "1.7976931348623157e+308", id="largest"),
        pytest.param(10**400, "+Inf", id="an integer beyond a float"),
        pytest.param(-(10**400), "-Inf", id="a negative integer beyond a float"),
        pytest.param(float("inf"), "+Inf", id="infinity"),
        pytest.param(float("-inf"), "-Inf", id="negative infinity"),
        pytest.param(float("nan"), "NaN", id="no number"),
        pytest.param(Decimal("1.50"), "1.5", id="a decimal of a SQL driver"),
    ],
)
def test_a_value_is_spelled_as_the_formats_want_it(value: Any, spelled: str) -> None:
    assert lines(VALUE, (), value)[-1] == f"x {spelled}"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        pytest.param("plain", "plain", id="plain"),
        pytest.param("", "", id="empty"),
        pytest.param('say "hi"', r"say \"hi\"", id="quotes"),
        pytest.param("C:\\new", r"C:\\new", id="a backslash before n"),
        pytest.param("a\nb", r"a\nb", id="newline"),
        pytest.param('\\"\n', r"\\\"\n", id="all three"),
        pytest.param("é 漢 🐘", "é 漢 🐘", id="unicode"),
        pytest.param("\ud800", "\ufffd", id="a lone surrogate"),
        pytest.param("a\rb\x00", "a\ufffdb\ufffd", id="CR and NUL"),
        pytest.param("%s{}%", "%s{}%", id="what would be a template"),
    ],
)
def test_a_label_value_is_escaped(text: str, escaped: str) -> None:
    rendered = Exposition([LABELLED]).render([{LABELLED: {(text,): 1}}], TEXT).decode()
    assert rendered.split("\n")[2:] == [f'x{{a="{escaped}"}} 1', ""]


@pytest.mark.parametrize(
    ("form", "escaped"),
    [
        pytest.param(TEXT, r'a \\ b \n c "d"', id="text leaves quotes"),
        pytest.param(OPENMETRICS, r"a \\ b \n c \"d\"", id="OpenMetrics escapes quotes"),
    ],
)
def test_help_is_escaped(form: Form, escaped: str) -> None:
    family = Family("x", "gauge", 'a \\ b \n c "d"')
    assert lines(family, (), 1, form)[0] == f"# HELP x {escaped}"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param(TEXT, ["# HELP x_total X.", "# TYPE x_total counter", "x_total 1"], id="text"),
        pytest.param(OPENMETRICS, ["# HELP x X.", "# TYPE x counter", "x_total 1", "# EOF"], id="OpenMetrics"),
    ],
)
def test_openmetrics_names_a_counter_without_total(form: Form, expected: list[str]) -> None:
    assert lines(Family("x_total", "counter", "X."), (), 1, form) == expected


def test_a_histogram_is_given_by_bounds_sum_and_count() -> None:
    family = Family("x_seconds", "histogram", "X.", ("a",))
    series = {("v", "0.5"): 1, ("v", "1"): 2, ("v", "+Inf"): 3, ("v", "sum"): 2.5, ("v", "count"): 3}
    assert Exposition([family]).render([{family: series}], TEXT).decode().splitlines()[1:] == [
        "# TYPE x_seconds histogram",
        'x_seconds_bucket{a="v",le="0.5"} 1',
        'x_seconds_bucket{a="v",le="1.0"} 2',
        'x_seconds_bucket{a="v",le="+Inf"} 3',
        'x_seconds_sum{a="v"} 2.5',
        'x_seconds_count{a="v"} 3',
    ]
