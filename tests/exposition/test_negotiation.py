"""The form that a request gets follows its Accept header, and no header breaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition import ContentType, Form, accepts_gzip, negotiate

TEXT, OM1, OM0 = Form.TEXT_0_0_4, Form.OPENMETRICS_1_0_0, Form.OPENMETRICS_0_0_1
OM = "application/openmetrics-text"
PROMETHEUS_2 = f"{OM};version=1.0.0,{OM};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_2_30 = f"{OM}; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = (
    f"{OM};version=1.0.0;escaping=allow-utf-8;q=0.6,{OM};version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,"
    f"{OM};version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.3"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "form", "escaping"),
    [
        pytest.param(None, TEXT, None, id="no header"),
        pytest.param("", TEXT, None, id="empty header"),
        pytest.param("*/*", TEXT, None, id="curl"),
        pytest.param(BROWSER, TEXT, None, id="a browser"),
        pytest.param(PROMETHEUS_2, OM1, None, id="Prometheus 2.42"),
        pytest.param(PROMETHEUS_2_30, OM0, None, id="Prometheus 2.30"),
        pytest.param(PROMETHEUS_3, OM1, "allow-utf-8", id="Prometheus 3"),
        pytest.param(PROMETHEUS_3_TEXT_FIRST, TEXT, None, id="Prometheus 3.14 prefers text 1.0.0, which is not ours"),
        pytest.param(f"{PROTOBUF};q=0.7,{PROMETHEUS_3}", OM1, "allow-utf-8", id="Prometheus 3 with native histograms"),
        pytest.param(PROTOBUF, TEXT, None, id="protobuf only"),
        pytest.param("text/plain", TEXT, None, id="text without a version"),
        pytest.param("text/plain;version=0.0.4", TEXT, None, id="text 0.0.4"),
        pytest.param("text/plain;version=1.0.0", TEXT, None, id="text 1.0.0 falls back"),
        pytest.param("text/plain;version=99", TEXT, None, id="an unknown version is never echoed"),
        pytest.param(OM, OM1, None, id="OpenMetrics without a version"),
        pytest.param(f"{OM};version=1.0.0", OM1, None, id="OpenMetrics 1.0.0"),
        pytest.param(f"{OM};version=0.0.1", OM0, None, id="OpenMetrics 0.0.1"),
        pytest.param(f"{OM};version=2.0.0", TEXT, None, id="OpenMetrics 2.0.0 is not ours"),
        pytest.param(f"{OM};version=99", TEXT, None, id="OpenMetrics 99 is nobody's"),
        pytest.param(f"{OM};version=2.0.0,{OM};version=1.0.0;q=0.1", OM1, None, id="the next version that is ours"),
        pytest.param(f"{OM};version=0.0.1,{OM};version=1.0.0", OM1, None, id="equal weights: 1.0.0 before 0.0.1"),
        pytest.param(f"text/plain,{OM}", OM1, None, id="equal weights: OpenMetrics before text"),
        pytest.param(f"{OM},text/plain;version=0.0.4", TEXT, None, id="equal weights: the more specific"),
        pytest.param(f"{OM};q=0.2,text/plain;q=0.9", TEXT, None, id="more weight wins"),
        pytest.param(f"text/plain;q=0.2,{OM};q=0.9", OM1, None, id="more weight wins, the other way round"),
        pytest.param(f"{OM};q=0.5,*/*;q=0.9", TEXT, None, id="a wildcard weighs what is not named"),
        pytest.param("text/*", TEXT, None, id="any text"),
        pytest.param("application/*", OM1, None, id="any application"),
        pytest.param("application/*;q=0.3,text/*;q=0.4", TEXT, None, id="weighted wildcards"),
        pytest.param(f"{OM};q=0,*/*", TEXT, None, id="OpenMetrics refused"),
        pytest.param("text/plain;q=0,*/*", OM1, None, id="text refused, anything else"),
        pytest.param(f"text/plain;q=0,{OM}", OM1, None, id="text refused"),
        pytest.param(f"{OM};version=1.0.0;q=0,{OM}", OM0, None, id="one version refused"),
        pytest.param("*/*;q=0", TEXT, None, id="everything refused"),
        pytest.param("image/png", TEXT, None, id="nothing acceptable"),
        pytest.param(f"  {OM.upper()} ; VERSION=1.0.0 ; Q=1.0 ", OM1, None, id="case and spaces"),
        pytest.param(f'{OM};version="1.0.0"', OM1, None, id="a quoted version"),
        pytest.param(f'text/plain;note="a,b;c=d";q=0.1,{OM};q=0.2', OM1, None, id="separators inside quotes"),
        pytest.param(f"{OM};charset=utf-8;version=1.0.0", OM1, None, id="a charset"),
        pytest.param(f"{OM};q=x,text/plain;q=0.1", TEXT, None, id="a weight that is no number"),
        pytest.param(f"{OM};q=2,text/plain;q=0.1", TEXT, None, id="a weight above one"),
        pytest.param(f"{OM};q=-1,text/plain;q=0.1", TEXT, None, id="a weight below zero"),
        pytest.param(f"{OM};q=nan", TEXT, None, id="a weight of NaN"),
        pytest.param(f"{OM};q=,text/plain", TEXT, None, id="a weight of nothing"),
        pytest.param(f"{OM};q=0.12345", TEXT, None, id="a weight of five digits"),
        pytest.param(f"{OM};q=0.001,*/*;q=0.0", OM1, None, id="the smallest weight"),
        pytest.param(f"{OM};version=1.0.0;escaping=underscores", OM1, "underscores", id="escaping underscores"),
        pytest.param(f"{OM};version=1.0.0;escaping=dots", OM1, "dots", id="escaping dots"),
        pytest.param(f"{OM};version=1.0.0;escaping=values", OM1, "values", id="escaping values"),
        pytest.param(f"{OM};version=1.0.0;escaping=allow-utf8", OM1, "underscores", id="an unknown escaping"),
        pytest.param(f"{OM};escaping=a\r\nX-Evil: 1", OM1, "underscores", id="an escaping that would split the answer"),
        pytest.param("text/plain;version=0.0.4;escaping=dots", TEXT, "dots", id="escaping of text"),
        pytest.param(f"text/plain;escaping=dots;q=0.1,{OM}", OM1, None, id="the escaping of what lost is not told"),
        pytest.param(",,;;=,", TEXT, None, id="only separators"),
        pytest.param(f'"{OM}', TEXT, None, id="an unclosed quote"),
        pytest.param(f'text/plain;a="b, {OM};q=0.5', TEXT, None, id="an unclosed quote in a parameter"),
        pytest.param(f",, {OM};;version=1.0.0;; ,", OM1, None, id="empty elements and parameters"),
        pytest.param("text/plain," * 100_000, TEXT, None, id="a megabyte"),
        pytest.param("\ud800\x00;q=1,*/*", TEXT, None, id="what is no header at all"),
    ],
)
def test_the_form_follows_the_accept_header(accept: str | None, form: Form, escaping: str | None) -> None:
    assert negotiate(accept) == ContentType(form, escaping)


@pytest.mark.parametrize(
    ("chosen", "header"),
    [
        pytest.param(ContentType(TEXT), "text/plain; version=0.0.4; charset=utf-8", id="text"),
        pytest.param(ContentType(OM1), f"{OM}; version=1.0.0; charset=utf-8", id="OpenMetrics 1.0.0"),
        pytest.param(ContentType(OM0), f"{OM}; version=0.0.1; charset=utf-8", id="OpenMetrics 0.0.1"),
        pytest.param(
            ContentType(OM1, "allow-utf-8"), f"{OM}; version=1.0.0; charset=utf-8; escaping=allow-utf-8", id="escaping"
        ),
    ],
)
def test_the_content_type_is_spelled_as_prometheus_knows_it(chosen: ContentType, header: str) -> None:
    assert str(chosen) == header


@pytest.mark.parametrize(
    "header", ['"' + '\\"' * 4095, '"' * 8191, "\\" * 8192, '"\\' * 4096, ";q" * 4096, ",;" * 4096]
)
def test_a_header_made_to_be_slow_is_answered_like_any_other(header: str) -> None:
    """Nothing in it is ours, so the answer is the default."""
    assert negotiate(header).form is TEXT


@given(st.text(st.sampled_from('atextplinomrsc/*;,=q01. "\\') | st.characters(), max_size=200))
def test_no_header_breaks_negotiation_and_only_known_answers_come_out(header: str) -> None:
    chosen = negotiate(header)
    assert chosen.escaping in {None, "allow-utf-8", "underscores", "dots", "values"}
    assert str(chosen).isascii()
    assert accepts_gzip(header) in {True, False}


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        pytest.param(None, False, id="no header"),
        pytest.param("", False, id="empty"),
        pytest.param("gzip", True, id="Prometheus"),
        pytest.param("gzip, deflate, br, zstd", True, id="a browser"),
        pytest.param("GZIP", True, id="case"),
        pytest.param("x-gzip", True, id="the old name"),
        pytest.param("deflate", False, id="another coding"),
        pytest.param("gzip;q=0", False, id="refused"),
        pytest.param("gzip;q=0.000", False, id="refused to three digits"),
        pytest.param("gzip;q=0.001", True, id="hardly"),
        pytest.param("identity, gzip;q=0.5", True, id="less liked than plain"),
        pytest.param("*", True, id="anything"),
        pytest.param("*;q=0", False, id="nothing"),
        pytest.param("*, gzip;q=0", False, id="anything else"),
        pytest.param("*;q=0, gzip", True, id="nothing else"),
        pytest.param("identity", False, id="plain"),
        pytest.param("identity;q=0", False, id="not plain, but nothing named"),
        pytest.param("gzip;q=high", False, id="a malformed weight"),
        pytest.param("gzipped", False, id="a longer word"),
    ],
)
def test_gzip_follows_the_accept_encoding_header(header: str | None, accepted: bool) -> None:  # noqa: FBT001 # a table's column
    assert accepts_gzip(header) is accepted
