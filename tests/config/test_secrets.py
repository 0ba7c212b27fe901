"""Secrets in files of their own, and warnings about those that are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from exporter import config
from exporter.config.secrets import is_secret, parts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder that a configuration and its secret live in."""
    (tmp_path / "url").write_text("postgresql://u:pw-one@h/d\n")
    (tmp_path / "url").chmod(0o600)
    return tmp_path


def _load(folder: Path, text: str, **environ: str):
    (folder / "c.yml").write_text(text)
    return config.load(folder / "c.yml", environ=environ)


def _told(folder: Path, found: config.Configuration) -> list[str]:
    return [warning.removeprefix(f"{folder}/c.yml:") for warning in found.warnings]


@pytest.mark.parametrize("name", ["url", "./url", "link"])
def test_a_secret_is_read_from_its_file(folder, name):
    """A path is relative to the configuration's folder, links are followed, the last newline is dropped."""
    (folder / "link").symlink_to("url")
    found = _load(folder, f"databases: {{d: {{url_file: {name}}}}}")
    assert found.databases["d"].url.reveal() == "postgresql://u:pw-one@h/d"
    assert (found.warnings, found.secrets) == ((), {"postgresql://u:pw-one@h/d", "pw-one"})


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o644, 1)])
def test_a_secret_that_others_may_read_is_a_warning(folder, mode, count):
    """Permissions for group or others are told, and the configuration is used."""
    (folder / "url").chmod(mode)
    found = _load(folder, "databases: {d: {url_file: url}}")
    told = f"1:27: databases.d.url_file: others than its owner may read the file '{folder}/url': give it the mode 0600"
    assert _told(folder, found) == [told] * count


@pytest.mark.parametrize(
    "text",
    [
        "packages: {a: {database: 'postgresql://u:CAN@A:RY@127.0.0.1/db'}}",
        "listen: [{address: 'u:CANARY@h'}]",
        "databases: {b: {url_file: 'postgresql://u:CANA@RY@h/d'}}",
        "databases: {b: {url: 'postgres//u:CANARY@h/d'}}",
        "log: {level: 'a:CANARY@b'}",
        "pack://u:CANARY@h: {}",
    ],
)
def test_a_password_in_the_wrong_place_is_not_repeated(folder, text):
    """A URL may be written where a name, a path or a word is wanted; the sentence about that hides it."""
    with pytest.raises(config.InvalidConfigurationError) as caught:
        _load(folder, text)
    for part in ("CANARY", "CAN@A", "CANA@", "RY@"):
        assert part not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("store: 'sqlite:////srv/a.db'", None),
        ("store: 'postgresql://u@h/d'", None),
        ("store: 'postgresql://u:pw-one@h/d'", "1:8: store: {} {{url_file: PATH}}"),
        ("store: {url: 'postgresql://u:pw-one@h/d'}", "1:14: store.url: {} url_file: PATH"),
        ("store: 'postgresql://u:${PW}@h/d'", None),
        ("store: '${URL}'", None),
        ("store: 'postgresql://u:pw$$one@h/d'", "1:8: store: {} {{url_file: PATH}}"),
        (
            "email: {host: h.example, tls: true, username: u, password: pw-one}",
            "1:60: email.password: {} password_file: PATH",
        ),
    ],
)
def test_a_secret_in_the_file_is_a_warning(folder, text, told):
    """A password that stands in the file itself is told; one from the environment, or none, is not."""
    found = _load(folder, text, PW="pw-two", URL="postgresql://u:pw-two@h/d")
    sentence = "a secret stands in the file: move it to a file of its own and write"
    assert _told(folder, found) == ([] if told is None else [told.format(sentence)])
    assert not [
        warning for warning in found.warnings if "pw" in warning.replace("/c.yml", "").removeprefix(str(folder))
    ]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text(""), "is empty: put the secret in it"),
        (lambda path: path.write_text("\n"), "is empty: put the secret in it"),
        (lambda path: path.write_bytes(b"\xff"), "is not UTF-8 (byte 0xff on line 1): save it as UTF-8"),
        (lambda path: path.write_text("x" * 65537), "is larger than 64 KiB: make it smaller or name another file"),
        (os.mkfifo, "is a pipe, not a regular file: name a file"),
        (lambda path: path.mkdir(), "is a folder, not a regular file: name a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file: name a file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: None, "does not exist: check the path"),
    ],
    ids=["empty", "a newline", "latin-1", "too large", "a pipe", "a folder", "a device", "a circle", "missing"],
)
def test_a_secret_file_that_cannot_be_read_is_a_mistake(tmp_path, make, sentence):
    """What is no small regular file of text is told at its place, without waiting for it."""
    make(tmp_path / "s")
    with pytest.raises(config.InvalidConfigurationError) as caught:
        _load(tmp_path, "databases: {d: {url_file: s}}")
    assert list(caught.value.problems) == [
        f"{tmp_path}/c.yml:1:27: databases.d.url_file: the file '{tmp_path}/s' {sentence}"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token", {"token"}),
        ("sqlite:////srv/a.db", set()),
        ("postgresql://u@h/d", set()),
        ("mysql://u:a%40b@h/d", {"mysql://u:a%40b@h/d", "a%40b", "a@b"}),
        ("mysql://u:a@b@h/d", {"mysql://u:a@b@h/d", "a@b", "a", "b"}),
        ("mysql://u:a/b@h/d", {"mysql://u:a/b@h/d", "a/b"}),
        ("mysql://u:a#b@h/d?token=t", {"mysql://u:a#b@h/d?token=t", "a#b", "t"}),
        ("mysql://u:[a@h/d", {"mysql://u:[a@h/d", "[a"}),
        ("mysql://u:a@h/d?x=y@z", {"mysql://u:a@h/d?x=y@z", "a@h/d?x=y", "a", "h/d?x=y"}),
        ("postgres//u:a@h/d", {"postgres//u:a@h/d", "a"}),
        ("sqlite:////srv/a:b@c.db", set()),
        ("postgresql://h/d?password=pw", {"postgresql://h/d?password=pw", "pw"}),
        ("https://chat.example/hook/abc", {"https://chat.example/hook/abc"}),
        ("http://[bad", {"http://[bad"}),
        ("base64://8=", {"base64://8="}),
        ("first\n\n second\n", {"first\n\n second\n", "first", "second"}),
    ],
)
def test_what_must_never_be_shown(text, expected):
    """The whole text and the passwords in it are secrets, unless it is a database's URL without one."""
    assert parts(text) == expected
    assert is_secret(text) is bool(expected)


def test_a_mistake_in_a_secret_that_stands_in_a_file_is_told_where_the_file_is_named(folder):
    """The reader is led to the key that is there."""
    (folder / "url").write_text("postgresql://u:pw-one@h\n")
    with pytest.raises(config.InvalidConfigurationError) as caught:
        _load(folder, "databases: {d: {url_file: url}}")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{folder}/c.yml:1:27: databases.d.url_file: the URL is not usable: it names no database")
    assert "pw-one" not in problem


KEYS = "base64:J1ddMO9TVz8igaBS3vmFBBBc1zmNxwb8CKKjYtNDZyY=\nZk3.Vt8-Qp1_Xw6+Bn4=Ls9@Dg2%Hy7!\n"


def test_the_keys_of_the_store_are_secrets_each_on_its_line(folder):
    """Neither the text nor one of its keys is ever shown."""
    (folder / "key").write_text(KEYS)
    (folder / "key").chmod(0o600)
    found = _load(folder, "store: {url: 'sqlite:////srv/a.db', key_file: key}")
    assert found.store.key.reveal() == KEYS.removesuffix("\n")
    assert set(KEYS.split()) < found.secrets
    assert not [line for line in KEYS.split() if line in repr(found.store)]


@pytest.mark.parametrize("text", ["", "store: 'sqlite:////srv/a.db'", "store: {url: 'sqlite:////srv/a.db'}"])
def test_the_key_of_the_store_may_come_from_the_environment(monkeypatch, folder, text):
    """ENCRYPTION_KEY stands in where the file gives no key, however the store is written; it is a secret too."""
    monkeypatch.setenv("ENCRYPTION_KEY", KEYS.split()[1])
    found = _load(folder, text)
    assert found.store.key.reveal() == KEYS.split()[1]
    assert KEYS.split()[1] in found.secrets
    assert found.warnings == ()
    without_file = config.load(None)
    assert without_file.store.key == found.store.key
    assert KEYS.split()[1] in without_file.secrets


def test_the_file_wins_over_the_environment(monkeypatch, folder):
    """A key that is written is the one that is meant."""
    monkeypatch.setenv("ENCRYPTION_KEY", KEYS.split(maxsplit=1)[0])
    (folder / "key").write_text(KEYS.split()[1])
    found = _load(folder, "store: {url: 'sqlite:////srv/a.db', key_file: key}")
    assert found.store.key.reveal() == KEYS.split()[1]


def test_a_key_of_the_environment_is_held_to_the_same_rules(monkeypatch, folder):
    """A placeholder in the environment is told, not used, and not shown."""
    monkeypatch.setenv("ENCRYPTION_KEY", "hunter2")
    with pytest.raises(config.InvalidConfigurationError) as caught:
        _load(folder, "log: {level: info}")
    (problem,) = caught.value.problems
    assert "store.key: in the environment's ENCRYPTION_KEY the key on line 1 is 7 bytes long" in problem
    assert "hunter2" not in problem


def test_without_a_key_there_is_none(monkeypatch, folder):
    """No key is made up."""
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    assert _load(folder, "").store.key is None
    monkeypatch.setenv("ENCRYPTION_KEY", "")
    assert _load(folder, "").store.key is None
