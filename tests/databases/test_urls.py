"""What a URL of a database must be is told before anything is connected to, and without a letter of a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.databases.urls import async_url, mistake, where
from exporter.errors import DatabaseUrlError

if TYPE_CHECKING:
    from pathlib import Path

AT = "an @ too many"
UNPARSED = "cannot be parsed"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://adm:s3cr@3tpw@127.0.0.1:5432/d", AT),
        ("postgresql://adm:s3cr@3t/pw@127.0.0.1/d", AT),
        ("postgresql://adm:s3cr@3t/x?pw@127.0.0.1/d", AT),
        ("postgresql://adm:s3cr@[3tpw@127.0.0.1/d", AT),
        ("postgresql://a/b:s3cr3tpw@h/d", AT),
        ("mysql://adm:s3cr@3tpw@h/d?ssl=true", AT),
        ("s3cr3tpw@h://d", UNPARSED),
        ("postgresql://adm:s3cr3tpw/d", UNPARSED),
        ("postgresql://[s3cr3tpw/d", UNPARSED),
        ("postgresql://adm:s3cr3tpw@h1:1,h2:2/d", UNPARSED),
        ("postgresql://adm:s3cr3tpw@h:0/d", "port is not from 1 to 65535"),
        ("postgresql://adm:s3cr3tpw@h:99999/d", "port is not from 1 to 65535"),
        (f"postgresql://adm:s3cr3tpw@h:{'9' * 5000}/d", "port is not from 1 to 65535"),
        ("postgresql://adm:s3cr3tpw@h:/d", UNPARSED),
        ("postgresql://adm:s3cr3tpw@h/", "names no database"),
        ("postgresql://adm:s3cr3tpw@h/d\n/x", "control character"),
        ("sqlite://adm:s3cr3tpw@h/d", "SQLite has none of"),
        ("sqlite:///", "names no file"),
        ("sqlite:///?mode=ro", "names no file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, reason: str) -> None:
    """With the status of a wrong configuration, and with no part of the password in the sentence."""
    with pytest.raises(DatabaseUrlError, match=reason) as caught:
        async_url("registry", url)
    assert caught.value.exit_code == 2
    assert not [part for part in ("s3cr", "3tpw", "3t/pw", "pw@") if part in str(caught.value)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://h/d?sslmode=requir", "'sslmode' must be one of disable, "),
        ("postgresql://h/d?sslmode", "what follows its ? is not name=value"),
        ("postgresql://h/d?sslmode=", "'sslmode' is empty"),
        ("postgresql://h/d?sslmod=require", "'sslmod' is not known (did you mean 'sslmode'?)"),
        ("postgresql://h/d?ssl=require", "'ssl' is not known (did you mean 'sslmode'?)"),
        ("postgresql://h/d?connect_timeout=5", "set connect_timeout beside the url"),
        ("postgresql://h/d?sslmode=require&channel_binding=require", "leave it out"),
        ("postgresql://h/d?zebra=1", "written options=-c%20name%3Dvalue"),
        ("postgresql://h/d?port=99999", "'port' must be a port from 1 to 65535"),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert={folder}/none", "'{folder}/none', which does not exist"),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert={folder}", "which is a folder"),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert={folder}/garbage", "nothing in PEM that TLS can read"),
        ("postgresql://h/d?sslkey={folder}/none", "'sslkey' names the file"),
        ("mysql://h/d?ssl_ca={folder}/none", "'{folder}/none', which does not exist"),
        ("mysql://h/d?ssl_ca={folder}/garbage", "nothing in PEM that TLS can read"),
        ("mysql://h/d?ssl=maybe", "'ssl' must be one of true, 1, required"),
        ("mysql://h/d?sslmode=require", "known"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(tmp_path: Path, url: str, reason: str) -> None:
    """A typing error in a parameter is not taken for trouble with the network, and a file is named that is missing."""
    (tmp_path / "garbage").write_text("garbage")
    found = mistake(url.format(folder=tmp_path))
    assert found is not None
    assert reason.format(folder=tmp_path) in found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/d",
        "postgresql+psycopg2://u:p%40w@h:5432/d?sslmode=require&application_name=x",
        "postgresql:///d?host=/run/postgresql&port=5433",
        "postgresql://u:p@[::1]:5432/d",
        "postgresql://u:a/b#c?d@h/d",
        "postgresql://user@tenant:p@h/d",
        "postgresql://u:p@h/d?options=-c%20search_path%3Da&my.setting=1",
        "postgresql://u:p@h1,h2/d?target_session_attrs=primary",
        "mysql://u:p@h:3306/d?charset=utf8mb4&unix_socket=/run/mysqld.sock",
        "mariadb://u:p@h/d?ssl=true",
        "sqlite:////srv/a@b.db",
        "sqlite:///relative.db?mode=ro",
        " sqlite:////srv/a.db\n",
    ],
)
def test_what_is_in_use_elsewhere_is_taken(url: str) -> None:
    """The URLs that other tools take are URLs here, and never show an @ or what stands before it."""
    assert mistake(url) is None
    assert "@" not in where(async_url("registry", url))


def test_certificates_that_can_be_read_are_taken(tmp_path: Path) -> None:
    """The file of a real authority is fine."""
    import trustme

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for url in ("postgresql://h/d?sslmode=verify-full&sslrootcert={}", "mysql://h/d?ssl_ca={}"):
        assert mistake(url.format(tmp_path / "ca.pem")) is None
