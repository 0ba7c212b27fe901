"""Options of TLS: one context for equal options, made anew when a file changed, and mistakes in one sentence."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from servers.tls import Authority

from exporter.wire import tls
from exporter.wire.tls import TlsOptions, client_context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    cert, key = authority.leaf(subject="client").written(tmp_path, "client")
    other, other_key = authority.leaf(subject="other").written(tmp_path, "other")
    ca, _ = authority.root.written(tmp_path, "root")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n", encoding="ascii")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii")
    os.mkfifo(tmp_path / "pipe")
    pair = tmp_path / "pair.pem"
    pair.write_bytes(cert.read_bytes() + key.read_bytes())
    return {
        "ca": ca, "cert": cert, "key": key, "other": other, "other_key": other_key, "empty": empty,
        "broken": broken, "pair": pair, "pipe": tmp_path / "pipe", "zero": Path("/dev/zero"),
        "missing": tmp_path / "missing.pem", "folder": tmp_path,
    }  # fmt: skip


def test_equal_options_share_a_context(files: dict[str, Path]) -> None:
    """Ten thousand targets need one, not ten thousand; others have their own."""
    first = client_context(TlsOptions(ca_file=files["ca"]))
    assert client_context(TlsOptions(ca_file=Path(str(files["ca"])))) is first
    assert client_context(TlsOptions(ca_file=files["ca"], min_version="TLS13")) is not first
    assert client_context(TlsOptions(ca_file=files["ca"], server_name="a.example")) is first
    assert client_context(None) is client_context(TlsOptions())


def test_a_changed_file_makes_a_new_context(files: dict[str, Path], authority: Authority) -> None:
    """Replaced as cert-manager does, or written over: the next call has what is there now."""
    options = TlsOptions(ca_file=files["ca"], cert_file=files["cert"], key_file=files["key"])
    first = client_context(options)
    new = files["folder"] / "new.pem"
    new.write_bytes(files["ca"].read_bytes())
    new.replace(files["ca"])
    second = client_context(options)
    assert second is not first
    assert client_context(options) is second
    state = files["key"].stat()
    os.utime(files["key"], ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert client_context(options) is not second


def test_few_contexts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds megabytes: what was not used for longest goes."""
    monkeypatch.setattr(tls, "CONTEXTS", 2)
    monkeypatch.setattr(tls, "_contexts", type(tls._contexts)())
    some = [TlsOptions(insecure_skip_verify=True, max_version=version) for version in ("TLS12", "TLS13", None)]
    contexts = [client_context(options) for options in some]
    assert len(tls._contexts) == 2
    assert client_context(some[2]) is contexts[2]
    assert client_context(some[0]) is not contexts[0]


def test_the_defaults_are_safe() -> None:
    """The system's authorities, the name checked, TLS 1.2 at least."""
    context = client_context(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_verification_is_left_out_only_on_request() -> None:
    """The word in the options says it."""
    context = client_context(TlsOptions(insecure_skip_verify=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"ca_file": "ca", "cert_file": "cert", "key_file": "key"}, None, id="all right"),
        pytest.param({"cert_file": "pair"}, None, id="certificate and key in one file"),
        pytest.param({"ca_file": "missing"}, ("ca_file", "ca_file '{missing}' does not exist"), id="no file"),
        pytest.param({"ca_file": "folder"}, ("ca_file", "ca_file '{folder}' is a folder"), id="a folder"),
        pytest.param({"ca_file": "pipe"}, ("ca_file", "ca_file '{pipe}' is a pipe"), id="a pipe that nobody writes"),
        pytest.param({"ca_file": "zero"}, ("ca_file", "ca_file '{zero}' is a device"), id="a device without end"),
        pytest.param(
            {"cert_file": "cert", "key_file": "pipe"},
            ("cert_file", "key_file '{pipe}' is a pipe"),
            id="a key in a pipe",
        ),
        pytest.param({"ca_file": "empty"}, ("ca_file", "'{empty}' holds no PEM certificate"), id="no PEM"),
        pytest.param({"ca_file": "broken"}, ("ca_file", "'{broken}' holds no PEM certificate"), id="broken PEM"),
        pytest.param({"cert_file": "cert"}, ("cert_file", "must be an unencrypted PEM pair"), id="no key in it"),
        pytest.param(
            {"cert_file": "cert", "key_file": "other_key"},
            ("cert_file", "the key in '{other_key}' does not belong to it"),
            id="another's key",
        ),
        pytest.param(
            {"cert_file": "cert", "key_file": "missing"},
            ("cert_file", "key_file '{missing}' does not exist"),
            id="no key file",
        ),
        pytest.param({"key_file": "key"}, ("key_file", "a key alone is of no use"), id="a key alone"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(
    files: dict[str, Path], given: dict[str, str], expected: tuple[str, str] | None
) -> None:
    """The problem stands at its key; making a context says the same, where files are at fault."""
    options = TlsOptions(**{key: files[name] for key, name in given.items()})
    problems = [(path[0], sentence) for path, sentence in options.problems(None)]
    if expected is None:
        assert problems == []
        assert client_context(options) is client_context(options)
        return
    key, part = expected
    assert [path for path, _ in problems] == [key]
    assert part.format(**files) in problems[0][1]
    if key != "key_file":
        with pytest.raises(ValueError, match=r".") as raised:
            client_context(options)
        assert str(raised.value) == problems[0][1]


def test_an_encrypted_key_is_no_question_at_the_terminal(files: dict[str, Path], authority: Authority) -> None:
    """Nobody is there to type a password."""
    from cryptography.hazmat.primitives import serialization

    key = authority.leaf().key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    files["key"].write_bytes(key)
    problems = list(TlsOptions(cert_file=files["cert"], key_file=files["key"]).problems(None))
    assert problems == [
        (("cert_file",), "the key is encrypted, and nobody is there to type its password: give an unencrypted one")
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"min_version": "TLS13", "max_version": "TLS12"}, "TLS13 is newer than max_version, TLS12"),
        ({"min_version": "TLS12", "max_version": "TLS13"}, None),
        ({"max_version": "TLS11"}, None),
    ],
)
def test_versions_must_not_contradict_each_other(given: dict[str, Any], problem: str | None) -> None:
    """A newest version below the usual oldest one lowers that."""
    problems = [sentence for _, sentence in TlsOptions(**given).problems(None)]
    assert problems == ([problem] if problem else [])
    if not problem:
        context = client_context(TlsOptions(**given))
        assert context.minimum_version <= context.maximum_version
