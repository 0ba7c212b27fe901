"""The report as text, and the memory of alerts: what no database is needed for."""

from __future__ import annotations

import csv
import io
import json

import pytest

from exporter.cli import package_report
from exporter.cli.package_alerts import REPEAT_SECONDS, RETRY_SECONDS, Mailer, log_line, sentence
from exporter.cli.package_report import Report, printable, utc_time, width
from exporter.collectors.packages import StatusReading
from exporter.config.options import Duration
from exporter.mail import MailOptions

READINGS = (
    StatusReading("Checking Licence", 45, 2, 1705307400.0, 1705311000.0),
    StatusReading("Downloaded", 23),
    StatusReading("審査中", 8, None),
)


def report(source: str = "registry", readings: tuple[StatusReading, ...] = READINGS) -> Report:
    return Report(source, 1705314600.0, readings)


def stuck(count: int | None) -> Report:
    return report(readings=(StatusReading("Approved", 100, count),))


@pytest.mark.parametrize("detailed", [False, True], ids=["plain", "detailed"])
@pytest.mark.parametrize("icons", [False, True], ids=["text", "icons"])
def test_the_numbers_end_in_one_column_of_the_terminal(detailed: bool, icons: bool):  # noqa: FBT001
    """Icons and wide letters take two cells."""
    lines = package_report.table([report()], detailed=detailed, icons=icons).splitlines()[2:-1]
    counts = ("45", "23", "8", "76")
    rows = lines[-4:]
    # The arrow of Downloaded is one narrow character and a mark that makes it wide: two cells as the other icons.
    ends = [width(row[: row.index(f" {count}") + 1 + len(count)]) for row, count in zip(rows, counts, strict=True)]
    assert len(set(ends)) == 1


def test_several_sources_have_a_block_each():
    text = package_report.table([report("one"), report("two\x1b[2J")], detailed=False, icons=False, named=True)
    titles = [line for line in text.splitlines() if line.startswith("Package Status Report")]
    assert [title.rpartition(" - ")[2] for title in titles] == ["one", "two\\x1b[2J"]


def test_several_sources_are_named_in_json_with_those_that_failed():
    text = package_report.document([report("one")], {"two": "it is down"}, detailed=False, several=True, compact=True)
    found = json.loads(text)
    assert text.count("\n") == 1
    assert list(found) == ["timestamp", "sources", "errors"]
    assert found["sources"]["one"]["package_counts"]["TOTAL"] == 76
    assert found["errors"] == {"two": "it is down"}


def test_a_status_called_total_does_not_hide_the_total():
    readings = (StatusReading("TOTAL", 4), StatusReading("Approved", 1))
    text = package_report.document([report(readings=readings)], {}, detailed=True, several=False, compact=False)
    assert json.loads(text)["package_counts"] == {"TOTAL (status)": 4, "Approved": 1, "TOTAL": 5}


def test_csv_keeps_every_text_as_it_is():
    """Quotes, commas, line breaks and what a spreadsheet takes for a formula come back as they went in."""
    texts = ['=HYPERLINK("x")', "a,b", 'say "yes"', "two\nlines", "+1", "@x", "审查"]
    readings = tuple(StatusReading(text, 1) for text in texts)
    text = package_report.table_of_values(
        [report(readings=readings)], detailed=True, several=True, timestamps=True, header=True
    )
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["status"] for row in rows] == texts
    assert list(rows[0])[:4] == ["timestamp", "source", "status", "count"]


def test_what_is_not_known_is_shown_as_such():
    """A query may say nothing of stuck packages: that is not the same as none."""
    unknown = (StatusReading("Approved", 3, None),)
    found = report(readings=unknown)
    assert found.stuck is None
    assert sentence(found, 0) is None
    assert package_report.table([found], detailed=True, icons=False).splitlines()[-2].split() == ["TOTAL", "3", "-"]
    document = package_report.document([found], {}, detailed=True, several=False, compact=True)
    assert json.loads(document)["stuck_total"] is None


@pytest.mark.parametrize(
    ("moment", "text"),
    [(None, None), (0.0, "1970-01-01T00:00:00Z"), (1705307400.9, "2024-01-15T08:30:00Z"), (1e20, None)],
    ids=["none", "epoch", "fraction", "no such year"],
)
def test_times_are_utc_in_whole_seconds(moment: float | None, text: str | None):
    assert utc_time(moment) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b]0;x\x07", "\\x1b]0;x\\x07"), ("a\nb", "a\\nb"), ("\u202eabc", "\\u202eabc"), ("é 中", "é 中")],
    ids=["escape", "line break", "reordering", "letters"],
)
def test_what_steers_a_terminal_is_shown_as_escapes(text: str, shown: str):
    assert printable(text) == shown


@pytest.mark.parametrize(("count", "alerts"), [(9, False), (10, False), (11, True)])
def test_the_threshold_must_be_exceeded(count: int, alerts: bool):  # noqa: FBT001
    assert (sentence(stuck(count), 10) is not None) is alerts


def test_a_log_line_is_one_line_whatever_the_status():
    line = log_line(report(readings=(StatusReading('x"\n2024 level=info', 1),)), None)
    assert "\n" not in line
    assert 'counts="x\\"\\\\n2024 level=info=1"' in line


async def mails(mailer: Mailer, *steps: tuple[float, int]) -> list[float]:
    """Return the moments at which a mail was tried: nobody listens, so each try is a warning."""
    tried = []
    for moment, count in steps:
        if await mailer.tell(stuck(count), sentence(stuck(count), 10), moment):
            tried.append(moment)
    return tried


@pytest.fixture
def deaf() -> Mailer:
    """Give a mailer whose server is not there."""
    return Mailer(["a@b.example"], MailOptions(host="127.0.0.1", port=1, timeout=Duration(5.0)))


async def test_a_mail_that_did_not_leave_is_tried_again_soon_but_not_at_once(deaf: Mailer):
    assert await mails(deaf, (0, 11), (1, 11), (RETRY_SECONDS, 11)) == [0, RETRY_SECONDS]


async def test_an_alert_that_comes_back_is_mailed_at_once(deaf: Mailer):
    assert await mails(deaf, (0, 11), (1, 10), (2, 11)) == [0, 2]


async def test_a_lasting_alert_is_mailed_once_an_hour(tmp_path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "mail"
    program.write_text(f"#!/bin/sh\necho mailed >> {tmp_path}/sent\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    mailer = Mailer(["root"], None)
    assert await mails(mailer, (0, 11), (30, 11), (REPEAT_SECONDS - 1, 12), (REPEAT_SECONDS, 12)) == []
    assert (tmp_path / "sent").read_text().splitlines() == ["mailed"] * 2
