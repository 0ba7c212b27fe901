from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from exporter.errors import WebConfigError
from exporter.web.access import WatchedAccess
from exporter.web.web_config import Rate, load_web_config, seconds

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
PAIR = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
SAMPLE = Path(__file__).with_name("web-config.yml")


@dataclass
class FakeClock:
    now: float = 0.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.now


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture
def folder(tmp_path, authority):
    """Return a folder with a certificate, its key, another key and the CA."""
    issue(authority, tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    authority.issue_cert("other").private_key_pem.write_to_path(str(tmp_path / "other.key"))
    (tmp_path / "noise").write_bytes(os.urandom(64))
    (tmp_path / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def issue(authority, folder, *names):
    made = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
    made.cert_chain_pems[0].write_to_path(str(folder / "server.crt"))
    made.private_key_pem.write_to_path(str(folder / "server.key"))
    return made


BAD = {
    "empty": ("", "no mapping"),
    "a list": ("- 1\n", "no mapping"),
    "unknown key": ("basic_auth_user: {}\n", "unknown key basic_auth_user"),
    "doubled key": (
        "basic_auth_users: {}\nbasic_auth_users: {}\n",
        "the key 'basic_auth_users' stands here again, first on line 1",
    ),
    "broken YAML": ("basic_auth_users: {\n", "web.yml:2:1"),
    "an alias": ("basic_auth_users: &a {}\nrate_limit: *a\n", "anchor"),
    "a tag": ("basic_auth_users: !!python/object:os.system {}\n", "tag"),
    "two documents": ("{}\n---\n{}\n", "second document"),
    "nested deeply": ("a: " + "[" * 5000, "nested"),
    "a control character": ("a: \x07\n", "character"),
    "an empty mapping": ("{}\n", "no mapping"),
    "users left empty": ("basic_auth_users:\n", "basic_auth_users: left empty"),
    "users as a list": ("basic_auth_users: [a]\n", "basic_auth_users must be a mapping"),
    "a plain password": ("basic_auth_users: {alice: wonderland}\n", "alice is not a bcrypt hash"),
    "a number as hash": ("basic_auth_users: {alice: 1}\n", "not a bcrypt hash"),
    "a cut hash": (f"basic_auth_users: {{alice: {HASH[:-1]}}}\n", "not a bcrypt hash"),
    "a cost too high": (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$31$')}}}\n", "cost 31"),
    "a cost too low": (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$03$')}}}\n", "cost 03"),
    "a user without name": (f"basic_auth_users: {{'': {HASH}}}\n", "user name"),
    "a user with a colon": (f"basic_auth_users: {{'a:b': {HASH}}}\n", "colon"),
    "a number as user": (f"basic_auth_users: {{1: {HASH}}}\n", "quote it"),
    "one bad user of two": (f"basic_auth_users: {{a: {HASH}, b: x}}\n", "basic_auth_users.b"),
    "TLS left empty": ("tls_server_config:\n", "tls_server_config: left empty"),
    "TLS as text": ("tls_server_config: always\n", "tls_server_config must be a mapping"),
    "TLS without a pair": ("tls_server_config: {min_version: TLS12}\n", "cert_file is missing"),
    "TLS without a key": ("tls_server_config: {cert_file: server.crt}\n", "key_file is missing"),
    "no such certificate": (PAIR.replace("server.crt", "absent"), "absent does not exist"),
    "a certificate of noise": (PAIR.replace("server.crt", "noise"), "PEM"),
    "a certificate too large": (PAIR.replace("server.crt", "large"), "larger than"),
    "a FIFO as key": (PAIR.replace("server.key", "fifo"), "not a regular file"),
    "a folder as key": (PAIR.replace("server.key", "."), "not a regular file"),
    "the key of another": (PAIR.replace("server.key", "other.key"), "does not belong"),
    "certificate twice": (PAIR + "  cert: x\n", "both given"),
    "old TLS": (PAIR + "  min_version: TLS10\n", "RFC 8996"),
    "old TLS at most": (PAIR + "  max_version: TLS11\n", "RFC 8996"),
    "unknown TLS": (PAIR + "  min_version: TLS14\n", "wanted TLS12 or TLS13"),
    "versions crossed": (PAIR + "  min_version: TLS13\n  max_version: TLS12\n", "above"),
    "unknown cipher": (PAIR + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "no secure cipher"),
    "ciphers as text": (PAIR + "  cipher_suites: ALL\n", "list of texts"),
    "unknown curve": (PAIR + "  curve_preferences: [Curve1]\n", "Curve1"),
    "unknown TLS key": (PAIR + "  minversion: TLS12\n", "minversion is no known key"),
    "text as switch": (PAIR + "  prefer_server_cipher_suites: maybe\n", "true or false"),
    "unverified certificates": (PAIR + "  client_auth_type: RequireAnyClientCert\n", "does not offer"),
    "requested certificates": (PAIR + "  client_auth_type: RequestClientCert\n", "does not offer"),
    "unknown client auth": (PAIR + "  client_auth_type: Required\n", "'Required'"),
    "client auth without CA": (PAIR + "  client_auth_type: RequireAndVerifyClientCert\n", "whom to trust"),
    "a CA nobody asks for": (PAIR + "  client_ca_file: ca.crt\n", "asks for no certificate"),
    "a CA of noise": (
        PAIR + "  client_ca_file: noise\n  client_auth_type: RequireAndVerifyClientCert\n",
        "holds no PEM certificate",
    ),
    "names without certificates": (PAIR + "  client_allowed_sans: [a]\n", "client_allowed_sans needs"),
    "nobody allowed": (
        PAIR + "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: []\n",
        "lets nobody in",
    ),
    "HTTP as text": ("http_server_config: fast\n", "http_server_config must be a mapping"),
    "http2 as text": ("http_server_config: {http2: 'on'}\n", "http2 must be true or false"),
    "unknown header": ("http_server_config: {headers: {Set-Cookie: a}}\n", "headers.Set-Cookie"),
    "frames allowed": ("http_server_config: {headers: {X-Frame-Options: allow}}\n", "deny or sameorigin"),
    "a header of two lines": (
        'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nb: c"}}\n',
        "one line of ASCII",
    ),
    "rate without burst": ("rate_limit: {interval: 1s}\n", "needs both"),
    "burst without rate": ("rate_limit: {burst: 3}\n", "needs both"),
    "rate without unit": ("rate_limit: {interval: 5, burst: 1}\n", "wanted a duration"),
    "a negative burst": ("rate_limit: {interval: 1s, burst: -1}\n", "whole number"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_a_sentence(folder, text, sentence):
    path = folder / "web.yml"
    path.write_text(text)
    with pytest.raises(WebConfigError, match=re.escape(sentence)) as caught:
        WatchedAccess(path, FakeClock())
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    assert HASH not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.yml", "fifo", "noise", "large", "."])
def test_what_is_no_readable_file_is_refused(folder, name):
    with pytest.raises(WebConfigError):
        load_web_config(folder / name)


def test_every_mistake_of_a_file_is_told_at_once(folder):
    path = folder / "web.yml"
    path.write_text(PAIR + "  min_version: TLS10\n  max_version: x\nrate_limit: {burst: 1}\nbogus: 1\n")
    with pytest.raises(WebConfigError) as caught:
        load_web_config(path)
    for word in ("bogus", "min_version", "max_version", "rate_limit"):
        assert word in str(caught.value)


def test_an_encrypted_key_is_refused_without_asking_for_its_password(folder):
    encrypted = folder / "encrypted.key"
    subprocess.run(
        ["openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", str(folder / "server.key"), "-out", str(encrypted)],
        check=False,
        capture_output=True,
        timeout=30,
    )
    if not encrypted.exists() or b"ENCRYPTED" not in encrypted.read_bytes():
        subprocess.run(
            ["openssl", "pkcs8", "-topk8", "-passout", "pass:x", "-in", folder / "server.key", "-out", encrypted],
            check=True,
            capture_output=True,
            timeout=30,
        )
    path = folder / "web.yml"
    path.write_text(PAIR.replace("server.key", "encrypted.key"))
    with pytest.raises(WebConfigError, match="key is encrypted"):
        WatchedAccess(path, FakeClock())


def test_our_sample_is_read_whole(folder):
    path = Path(shutil.copy(SAMPLE, folder))
    config = load_web_config(path)
    assert config.tls is not None
    assert config.users == {"prometheus": HASH}
    assert config.headers == {"X-Frame-Options": "deny"}
    assert set(config.files) == {path, *(folder / name for name in ("server.crt", "server.key", "ca.crt"))}


def test_a_rate_limit_is_a_burst_and_an_interval(folder):
    path = folder / "web.yml"
    path.write_text("rate_limit: {interval: 10ms, burst: 100}\n")
    assert load_web_config(path).rate == Rate(100, 0.01)


def test_promtool_takes_our_sample_too(folder):
    path = shutil.copy(SAMPLE, folder)
    done = subprocess.run(
        ["promtool", "check", "web-config", path], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", ["tls_server_config:\n  cert: |\n{cert}  key: |\n{key}", PAIR])
def test_certificate_and_key_may_stand_inline_or_in_files(folder, text):
    def indented(name):
        return "".join(f"    {line}\n" for line in (folder / name).read_text().splitlines())

    path = folder / "web.yml"
    path.write_text(text.replace("{cert}", indented("server.crt")).replace("{key}", indented("server.key")))
    assert WatchedAccess(path, FakeClock()).current().context is not None


def test_a_configuration_never_shows_keys_or_hashes(folder):
    config = load_web_config(Path(shutil.copy(SAMPLE, folder)))
    assert HASH not in repr(config)
    assert "PRIVATE KEY" not in repr(config)


@pytest.mark.parametrize(
    ("text", "expected"), [(0, 0), ("0s", 0), ("1s", 1), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400)]
)
def test_durations_are_read_as_go_writes_them(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", [1, True, None, "", "1", "1d", "s", "1s x", "-1s", [1]])
def test_what_is_no_duration_of_go_is_refused(text):
    with pytest.raises(ValueError, match="wanted a duration"):
        seconds(text)


class TestChange:
    """What happens when the files change while we run."""

    @pytest.fixture
    def clock(self):
        return FakeClock()

    @pytest.fixture
    def path(self, folder):
        path = folder / "web.yml"
        path.write_text(f"{PAIR}basic_auth_users: {{alice: {HASH}}}\n")
        return path

    def test_nothing_is_read_again_while_nothing_changed(self, path, clock):
        access = WatchedAccess(path, clock)
        first = access.current()
        clock.now += 100
        assert access.current() is first

    def test_a_renewed_pair_gives_a_new_context_within_a_second(self, path, clock, folder, authority):
        access = WatchedAccess(path, clock)
        first = access.current().context
        issue(authority, folder, "renewed")
        clock.now += 0.5
        assert access.current().context is first
        clock.now += 0.6
        assert access.current().context is not first

    def test_a_bad_file_keeps_the_old_and_is_told_once(self, path, clock, caplog):
        access = WatchedAccess(path, clock)
        good = path.read_text()
        for bad in ("", "bogus: 1\n"):
            path.write_text(bad)
            for _ in range(3):
                clock.now += 1.1
                assert access.current().config.users == {"alice": HASH}
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 2
        path.write_text(good.replace("alice", "bob"))
        clock.now += 1.1
        assert set(access.current().config.users) == {"bob"}

    def test_a_pair_half_renewed_keeps_the_old_until_it_is_whole(self, path, clock, folder, authority):
        access = WatchedAccess(path, clock)
        first = access.current().context
        made = authority.issue_cert("renewed")
        made.private_key_pem.write_to_path(str(folder / "server.key"))
        clock.now += 1.1
        assert access.current().context is first
        made.cert_chain_pems[0].write_to_path(str(folder / "server.crt"))
        clock.now += 1.1
        assert access.current().context is not first

    def test_what_a_file_names_may_come_after_it(self, path, clock, folder):
        access = WatchedAccess(path, clock)
        path.write_text(PAIR.replace("server.crt", "late.crt"))
        clock.now += 1.1
        assert access.current().config.users
        shutil.copy(folder / "server.crt", folder / "late.crt")
        clock.now += 1.1
        assert not access.current().config.users

    def test_tls_is_not_switched_off_by_a_change(self, path, clock, caplog):
        access = WatchedAccess(path, clock)
        path.write_text("http_server_config: {http2: false}\n")
        clock.now += 1.1
        assert access.current().context is not None
        assert "by a restart" in caplog.text

    def test_a_swapped_symlink_is_seen(self, clock, folder, authority):
        """Kubernetes renews a mounted secret by swapping a symlink to its folder."""
        for name in ("one", "two"):
            (folder / name).mkdir()
            issue(authority, folder / name)
        data = folder / "..data"
        data.symlink_to(folder / "one")
        path = folder / "web.yml"
        path.write_text(PAIR.replace("server.", "..data/server."))
        access = WatchedAccess(path, clock)
        first = access.current().context
        (folder / "next").symlink_to(folder / "two")
        (folder / "next").rename(data)
        clock.now += 1.1
        assert access.current().context is not first
