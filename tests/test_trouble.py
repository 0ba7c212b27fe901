"""What keeps a loop from its work is said once, and that it is over."""

from __future__ import annotations

import asyncio
import logging

import pytest

from exporter.errors import StoreError
from exporter.trouble import Trouble

LOG = logging.getLogger("tests.trouble")


def made() -> Trouble:
    return Trouble(LOG, "it cannot be done", "it can be done again", unforeseen="nobody knows why")


def test_a_sentence_is_said_once_and_so_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """However often it goes wrong; the newest reason holds, and nothing is said where all is well."""
    caplog.set_level(logging.INFO)
    trouble = made()
    with trouble.noted():
        pass
    assert (trouble.reason, caplog.messages) == (None, [])
    for reason in ("first", "second"):
        with trouble.noted():
            raise StoreError(where="here", reason=reason)
        assert trouble.reason == f"The store here cannot be used: {reason}."
    for _ in range(2):
        with trouble.noted():
            pass
        assert trouble.reason is None
    assert caplog.messages == ["it cannot be done: The store here cannot be used: first.", "it can be done again"]
    assert [record.exc_info for record in caplog.records] == [None, None]


def test_what_nobody_foresaw_has_its_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    trouble = made()
    for _ in range(2):
        with trouble.noted():
            raise RuntimeError("a secret")
    assert trouble.reason == "nobody knows why (RuntimeError): its log line has the place"
    (record,) = caplog.records
    assert (record.message, record.exc_info is not None) == ("nobody knows why", True)


def test_a_cancellation_goes_through() -> None:
    trouble = made()
    with pytest.raises(asyncio.CancelledError), trouble.noted():
        raise asyncio.CancelledError
    assert trouble.reason is None
