"""Compressed bodies are valid gzip members and always the same."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest

from exporter.exposition import compressed

BODIES = [
    pytest.param(b"", id="empty"),
    pytest.param(b"# EOF\n", id="short"),
    pytest.param(b'watchbridge_packages{source="npm",status="Pending"} 17\n' * 20_000, id="a megabyte"),
]


@pytest.mark.parametrize("body", BODIES)
def test_a_member_is_read_back_by_the_standard_library(body: bytes) -> None:
    assert gzip.decompress(compressed(body)) == body


@pytest.mark.parametrize("body", BODIES)
def test_a_member_holds_no_time(body: bytes) -> None:
    """Bytes 4 to 7 of a member are its modification time (RFC 1952, section 2.3)."""
    assert compressed(body)[4:8] == bytes(4)
    assert compressed(body) == compressed(body)


def test_zlib_does_where_isal_is_missing() -> None:
    program = (
        "import sys, gzip; sys.modules['isal'] = None\n"
        "from exporter.exposition import compressed\n"
        "from exporter.exposition.gzipped import compress\n"
        "assert compress.__module__ == 'zlib', compress.__module__\n"
        "assert gzip.decompress(compressed(b'abc')) == b'abc'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
