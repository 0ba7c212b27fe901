"""Mail leaves by a real SMTP conversation, or by a real program, and never carries what it must not."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trustme

from exporter.config.options import Duration, Secret
from exporter.errors import ConfigurationError, MailError
from exporter.mail import MAX_BODY, MailOptions, is_address, is_recipient, options_from_environment, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage
    from pathlib import Path


@dataclass
class Sink:
    """A small SMTP server (RFC 5321) that keeps what it is sent; `answers` replace its own by command word."""

    answers: dict[str, str] = field(default_factory=dict)
    starttls: ssl.SSLContext | None = None
    silent: bool = False
    commands: list[str] = field(default_factory=list)
    messages: list[EmailMessage] = field(default_factory=list)
    encrypted: bool = False
    port: int = 0
    talks: set[asyncio.Task | None] = field(default_factory=set)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if not self.silent:
                await self._say(writer, "220 sink")
            while line := await reader.readline():
                await self._answer(line.decode().strip(), reader, writer)
        writer.close()

    async def _answer(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.commands.append(line)
        word = line.split(maxsplit=1)[0].upper()
        if word in self.answers:
            return await self._say(writer, self.answers[word])
        match word:
            case "EHLO":
                extra = "250-STARTTLS\r\n" if self.starttls and not self.encrypted else ""
                return await self._say(writer, f"250-sink\r\n{extra}250 AUTH PLAIN")
            case "STARTTLS":
                await self._say(writer, "220 go on")
                await writer.start_tls(self.starttls)
                self.encrypted = True
                return None
            case "DATA":
                await self._say(writer, "354 go on")
                data = (await reader.readuntil(b"\r\n.\r\n"))[:-5].replace(b"\r\n..", b"\r\n.")
                self.messages.append(email.message_from_bytes(data, policy=email.policy.default))
                return await self._say(writer, "250 kept")
            case "AUTH":
                return await self._say(writer, "235 welcome")
        return await self._say(writer, "250 fine")

    async def _say(self, writer: asyncio.StreamWriter, text: str) -> None:
        writer.write(text.encode() + b"\r\n")
        await writer.drain()


@contextlib.asynccontextmanager
async def listening(sink: Sink, tls: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    server = await asyncio.start_server(sink.talk, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        if sink.talks:
            assert not (await asyncio.wait(sink.talks, timeout=10))[1], "a client did not hang up"


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Give a server's TLS context for localhost, and the file of the authority that signed it."""
    made = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("localhost").configure_cert(context)
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, tmp_path / "ca.pem"


def options(sink: Sink, **others) -> MailOptions:
    return MailOptions(**{"host": "127.0.0.1", "port": sink.port, "sender": "watchbridge@example.com", **others})


async def test_a_mail_arrives_as_it_was_written():
    """Subject and body keep their letters; the mail says that no person wrote it."""
    async with listening(Sink()) as sink:
        await send("admin@company.com", "12 packages stuck: élan 📦", "first\n.\nlast ☂\n", options(sink))
    message = sink.messages[0]
    assert message["Subject"] == "12 packages stuck: élan 📦"
    assert message["To"] == "admin@company.com"
    assert message["From"] == "watchbridge@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().splitlines() == ["first", ".", "last ☂"]
    assert "rcpt to:<admin@company.com>" in [
        command.lower() for command in sink.commands
    ]  # Pythons spell it differently


@pytest.mark.parametrize("first_byte", [False, True], ids=["starttls", "tls"])
async def test_the_password_goes_only_through_tls(authority: tuple[ssl.SSLContext, Path], first_byte: bool):  # noqa: FBT001
    context, trusted = authority
    sink = Sink(starttls=None if first_byte else context)
    login = {"username": "me", "password": Secret("canary"), "ca_file": trusted, "host": "localhost"}
    async with listening(sink, context if first_byte else None):
        await send("a@b.example", "s", "b", options(sink, tls=first_byte, starttls=not first_byte, **login))
    words = [line.split()[0] for line in sink.commands]
    assert len(sink.messages) == 1
    assert "AUTH" in words
    assert first_byte or words.index("STARTTLS") < words.index("AUTH")


async def test_a_certificate_of_a_stranger_is_refused(authority: tuple[ssl.SSLContext, Path]):
    sink = Sink(starttls=authority[0])
    async with listening(sink):
        with pytest.raises(MailError, match=r"certificate of the SMTP server localhost.* is not trusted"):
            await send("a@b.example", "s", "b", options(sink, host="localhost", starttls=True))
    assert sink.messages == []


async def test_starttls_that_is_not_offered_sends_nothing():
    async with listening(Sink()) as sink:
        with pytest.raises(MailError, match="no STARTTLS"):
            await send("a@b.example", "s", "b", options(sink, starttls=True))
    assert sink.messages == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param({"AUTH": "535 canary is wrong"}, "refused the user or the password", id="login"),
        pytest.param({"MAIL": "550 not you"}, "set `sender`", id="sender"),
        pytest.param({"RCPT": "550 not here"}, "for this address", id="recipient"),
        pytest.param({"DATA": "554 no"}, "answered 554", id="data"),
        pytest.param({"EHLO": "421 busy", "HELO": "421 busy"}, "answered 421|closed the connection", id="busy"),
    ],
)
async def test_a_refusal_is_a_sentence_without_the_servers_words(answers: dict[str, str], said: str):
    async with listening(Sink(answers=answers)) as sink:
        login = {"username": "me", "password": Secret("canary")}
        with pytest.raises(MailError, match=said) as caught:
            await send("a@b.example", "s", "b", options(sink, **login))
    assert "canary" not in str(caught.value)


async def test_a_server_that_is_silent_ends_at_the_deadline():
    async with listening(Sink(silent=True)) as sink:
        began = time.monotonic()
        with pytest.raises(MailError, match="did not"):
            await send("a@b.example", "s", "b", options(sink, timeout=Duration(0.5)))
        assert time.monotonic() - began < 5


async def test_a_server_that_drips_ends_at_the_deadline():
    """Each byte comes within the socket's timeout, the whole answer never does."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"220-x\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    sink = Sink(port=server.sockets[0].getsockname()[1])
    with pytest.raises(MailError, match=r"did not take it within 0\.5 s"):
        await send("a@b.example", "s", "b", options(sink, timeout=Duration(0.5)))
    await asyncio.wait_for(ended.wait(), 10)
    server.close()


async def test_cancelling_hangs_up():
    """The thread that speaks must not hold up the end of the program until its own deadline."""
    hung_up = asyncio.Event()
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        hung_up.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        patient = MailOptions(host="127.0.0.1", port=port, timeout=Duration(300.0))
        task = asyncio.create_task(send("a@b.example", "s", "b", patient))
        async with asyncio.timeout(10):
            await connected.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await hung_up.wait()


async def test_nobody_listening_is_a_sentence():
    with pytest.raises(MailError, match=r"127\.0\.0\.1:1 could not be reached"):
        await send("a@b.example", "s", "b", options(Sink(port=1)))


@pytest.mark.parametrize("host", ["mail..example.com", ".example.com", "a" * 64 + ".example.com"])
async def test_a_name_that_no_name_server_takes_is_a_sentence(host: str):
    """Python refuses to look such a name up with an error that is not one of the network."""
    with pytest.raises(MailError, match=r"is not a name that can be looked up; check `host`"):
        await send("a@b.example", "s", "b", MailOptions(host=host))


@pytest.mark.parametrize(
    ("login", "said"),
    [
        pytest.param({"username": "me", "password": Secret("cänary")}, "`password` has others", id="password"),
        pytest.param({"username": "mé", "password": Secret("canary")}, "`username` has others", id="username"),
    ],
)
async def test_a_login_that_smtp_cannot_carry_is_a_sentence(login: dict, said: str):
    """Only ASCII goes into a login here; neither the sentence nor its cause repeats the password."""
    async with listening(Sink()) as sink:
        with pytest.raises(MailError, match=said) as caught:
            await send("a@b.example", "s", "b", options(sink, **login))
    assert sink.messages == []
    assert "nary" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "No such file or directory", id="missing"),
        pytest.param("garbage", "holds no certificate in PEM", id="garbage"),
    ],
)
@pytest.mark.parametrize("kind", ["tls", "starttls"])
async def test_certificates_that_cannot_be_read_are_not_the_servers_fault(
    tmp_path: Path, content: str | None, said: str, kind: str
):
    """The file is named, and the server is not even asked."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    async with listening(Sink()) as sink:
        with pytest.raises(MailError, match=rf"ca\.pem' of `ca_file` cannot be used \(.*{said}"):
            await send("a@b.example", "s", "b", options(sink, ca_file=file, **{kind: True}))
    assert sink.commands == []


async def test_a_subject_cannot_add_a_header():
    async with listening(Sink()) as sink:
        await send("a@b.example", "stuck\r\nBcc: thief@evil.example\n\nbody", "b", options(sink))
    assert sink.messages[0]["Bcc"] is None
    assert sink.messages[0]["Subject"] == "stuck Bcc: thief@evil.example body"
    assert not [line for line in sink.commands if "thief" in line]


async def test_a_body_is_bounded():
    async with listening(Sink()) as sink:
        await send("a@b.example", "s", "ü" * MAX_BODY, options(sink))
    assert len(sink.messages[0].get_content().strip()) == MAX_BODY // 2


BAD = [
    "",
    "-oQ/tmp@x.example",
    "--help",
    "|sh",
    "/etc/passwd",
    "a@b.example,c@d.example",
    "a@b.example\n",
    "a@b\r\nRCPT TO:<c@d>",
    "a b@c.example",
    "<a@b.example>",
    "a@-b.example",
    "a@",
    "~!id",
    "+folder",
    "%a@b",
    "é@b.example",
]


@pytest.mark.parametrize("text", BAD)
async def test_what_is_no_address_is_refused(text: str):
    assert not is_recipient(text)
    with pytest.raises(MailError, match="not one plain mail address"):
        await send(text, "s", "b", None)


@pytest.mark.parametrize("text", ["admin@company.com", "a.b+c@sub.example.org", "o'neil@example.com", "root@localhost"])
def test_ordinary_addresses_are_taken(text: str):
    assert is_address(text)


def test_a_user_of_this_machine_is_a_recipient_but_no_sender():
    assert is_recipient("root")
    assert not is_address("root")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Give a way to put a `mail` program into a PATH that holds nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(text: str) -> Path:
        path = tmp_path / "mail"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return tmp_path / "sent"

    return make


async def test_without_a_server_the_mail_command_sends(program: Callable[[str], Path], tmp_path: Path):
    """`--` is not given: s-nail takes what follows it for options of sendmail. Lines with ~ are no commands of mail."""
    sent = program(f'{{ printf "<%s>" "$@"; echo; /bin/cat; }} > {tmp_path}/sent')
    await send("admin@company.com", "a b; $(id)", "one\n~!id\ntwo", None)
    assert sent.read_text() == "<-s><a b; $(id)><admin@company.com>\none\n ~!id\ntwo"


async def test_a_mail_command_that_fails_says_what_it_said(program: Callable[[str], Path]):
    program("echo 'no \033[31mqueue' >&2; exit 75")
    with pytest.raises(MailError, match="ended with status 75 ") as caught:
        await send("admin@company.com", "s", "b", None)
    assert "no ?[31mqueue" in str(caught.value)


async def test_no_mail_command_and_no_server_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MailError, match="SMTP_HOST"):
        await send("admin@company.com", "s", "b", None)


def test_the_environment_describes_a_server(tmp_path: Path):
    secret = tmp_path / "password"
    secret.write_text("canary\n")
    found = options_from_environment(
        {
            "SMTP_HOST": "smtp.example.com",
            "SMTP_USERNAME": "me",
            "SMTP_PASSWORD_FILE": str(secret),
            "SMTP_FROM": "me@example.com",
            "SMTP_STARTTLS": "yes",
        }
    )
    assert found is not None
    assert (found.effective_port(), found.starttls, found.sender) == (587, True, "me@example.com")
    assert found.password == Secret("canary")
    assert "canary" not in repr(found)


def test_without_a_host_there_is_no_server():
    assert options_from_environment({"SMTP_PORT": "25"}) is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param({"SMTP_PORT": "70000"}, "SMTP_PORT", id="port"),
        pytest.param({"SMTP_STARTTLS": "perhaps"}, "SMTP_STARTTLS", id="flag"),
        pytest.param({"SMTP_STARTTLS": "1", "SMTP_TLS": "1"}, "exclude each other", id="two kinds of TLS"),
        pytest.param({"SMTP_USERNAME": "me"}, "belong together", id="half a login"),
        pytest.param({"SMTP_USERNAME": "me", "SMTP_PASSWORD": "canary"}, "in clear", id="password in clear"),
        pytest.param({"SMTP_PASSWORD": "canary", "SMTP_PASSWORD_FILE": "x"}, "both set", id="two passwords"),
        pytest.param({"SMTP_PASSWORD_FILE": "/nowhere/at/all"}, "SMTP_PASSWORD_FILE", id="no file"),
        pytest.param({"SMTP_FROM": "me"}, "mail address", id="sender"),
        pytest.param({"SMTP_HOST": "smtp://h"}, "SMTP_HOST", id="host with a scheme"),
        pytest.param({"SMTP_HOST": "mäil.example.com"}, "SMTP_HOST", id="host not in ASCII"),
    ],
)
def test_a_mistake_in_the_environment_is_named(variables: dict[str, str], said: str):
    with pytest.raises(ConfigurationError, match=said) as caught:
        options_from_environment({"SMTP_HOST": "smtp.example.com", **variables})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "port"),
    [({}, 25), ({"starttls": True}, 587), ({"tls": True}, 465), ({"tls": True, "port": 2465}, 2465)],
    ids=["plain", "starttls", "tls", "named"],
)
def test_the_port_follows_the_kind_of_connection(given: dict, port: int):
    assert MailOptions(host="x", **given).effective_port() == port


def test_options_are_cheap_to_load():
    code = "import sys, exporter.mail; print(sorted({'smtplib', 'email', 'ssl', 'subprocess'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "smtplib" not in done.stdout
    assert "email" not in done.stdout
