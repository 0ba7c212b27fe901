"""Mail to people: by SMTP where it is configured, else by the `mail` command of this machine.

Only the standard library speaks SMTP here, and it is imported when a mail is sent: the options must be cheap to load.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.config.options import Duration, Secret, option
from exporter.errors import ConfigurationError, MailError

if TYPE_CHECKING:
    import smtplib
    import ssl
    from collections.abc import Iterable, Mapping
    from email.message import EmailMessage

MAX_BODY = 64 * 1024
"""Bytes of a body that are sent; the rest is cut."""
MAX_SUBJECT = 200
"""Characters of a subject that are sent; the rest is cut."""

# RFC 5321 4.5.3.1: 64 octets before the @, 255 after it. Narrower than RFC 5322 on purpose: no quoted local part, no
# comment, no list, and a first character that no mail program takes for an option, a pipe or a file.
_ADDRESS = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._%+'=-]{0,63}"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))*"
)
# Mail of cron goes to such names: a user of this machine.
_LOCAL_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_HOST = r"[A-Za-z0-9._:\[\]-]+"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MailOptions:
    """How mail leaves: the section `email` of the configuration, or the variables SMTP_* of the environment."""

    host: str = option(help="The SMTP server.", example="smtp.example.com", pattern=_HOST)
    port: int | None = option(
        None, help="Its port; by default 465 with tls, 587 with starttls, else 25.", minimum=1, maximum=65535
    )
    starttls: bool = option(default=False, help="Ask for TLS after connecting, and send nothing if it is refused.")
    tls: bool = option(default=False, help="Speak TLS from the first byte.")
    ca_file: Path | None = option(None, help="Certificates (PEM) to trust instead of the system's.")
    username: str | None = option(None, help="The user to log in as; without it no login is tried.")
    password: Secret | None = option(None, help="The user's password.")
    sender: str | None = option(
        None, help="The From address; by default watchbridge@ and this host's name.", example="watchbridge@example.com"
    )
    timeout: Duration = option(
        Duration(10.0), help="The whole conversation with the server may take this long.", minimum=0.1, maximum=300
    )

    def effective_port(self) -> int:
        """Return the port to connect to (RFC 8314: 465 for implicit TLS; RFC 6409: 587 for submission)."""
        if self.port is not None:
            return self.port
        if self.tls:
            return 465
        return 587 if self.starttls else 25

    def where(self) -> str:
        """Return the server as errors name it."""
        return f"the SMTP server {self.host}:{self.effective_port()}"

    def problems(self, configuration: object) -> Iterable[tuple[tuple[str | int, ...], str]]:  # noqa: ARG002 - the protocol of options
        """Yield what contradicts itself, as (path, sentence)."""
        if self.tls and self.starttls:
            yield ("starttls",), "tls and starttls exclude each other: keep one of them"
        if (self.username is None) != (self.password is None):
            yield ("username",), "username and password belong together: give both, or neither"
        if self.password is not None and not (self.tls or self.starttls or _is_loopback(self.host)):
            yield ("password",), "a password would be sent in clear: set starttls or tls to true"
        if self.sender is not None and not is_address(self.sender):
            yield ("sender",), f"{self.sender!r} is not a mail address such as watchbridge@example.com"


def is_address(text: str) -> bool:
    """Return whether this is one plain mail address, safe in a header and in an argument list."""
    return _ADDRESS.fullmatch(text) is not None


def is_recipient(text: str) -> bool:
    """Return whether mail may be sent to this: one plain address, or the name of a user of this machine."""
    return is_address(text) or _LOCAL_USER.fullmatch(text) is not None


def options_from_environment(environ: Mapping[str, str]) -> MailOptions | None:
    """Return the options that SMTP_HOST, SMTP_PORT, SMTP_USERNAME, SMTP_PASSWORD or SMTP_PASSWORD_FILE, SMTP_FROM,
    SMTP_STARTTLS and SMTP_TLS give; None without SMTP_HOST. ConfigurationError names the variable that is wrong.
    """  # noqa: D205 - the list of variables is the summary
    host = environ.get("SMTP_HOST")
    if not host:
        return None
    if not re.fullmatch(_HOST, host):
        raise ConfigurationError(
            reason=f"SMTP_HOST is {host!r}: write the name or address of a server, without a port."
        )
    options = MailOptions(
        host=host,
        port=_port(environ.get("SMTP_PORT")),
        starttls=_flag(environ, "SMTP_STARTTLS"),
        tls=_flag(environ, "SMTP_TLS"),
        username=environ.get("SMTP_USERNAME") or None,
        password=_password(environ),
        sender=environ.get("SMTP_FROM") or None,
    )
    for _, sentence in options.problems(None):
        raise ConfigurationError(reason=f"The SMTP_* variables of the environment do not fit together: {sentence}.")
    return options


async def send(to: str, subject: str, body: str, options: MailOptions | None) -> None:
    """Send one mail of plain text; MailError says why it did not leave. Line breaks in the subject become spaces."""
    if not is_recipient(to):
        raise MailError(to=repr(to), reason="this is not one plain mail address such as admin@example.com")
    line = " ".join("".join(c if c.isprintable() else " " for c in subject).split())[:MAX_SUBJECT]
    text = body.encode("utf-8", "replace")[:MAX_BODY].decode("utf-8", "ignore")
    if options is None:
        await _send_by_command(to, line, text)
    else:
        await _send_by_smtp(to, line, text, options)


async def _send_by_command(to: str, subject: str, body: str) -> None:
    """Hand the mail to `mail`, which every cron host of old has; its output is no answer, only its exit status."""
    from exporter.processes import run  # noqa: PLC0415 - options must be cheap to load

    program = shutil.which("mail")
    if program is None:
        raise MailError(
            to=to,
            reason="no SMTP server is set and there is no `mail` command here; set SMTP_HOST, or `email` in the file",
        )
    finished = await run([program, "-s", subject, to], stdin=_without_tildes(body).encode(), timeout=30.0)
    if finished.timed_out:
        raise MailError(to=to, reason=f"{program} did not end within 30 s; check the machine's mail queue")
    if finished.code != 0:
        said = " ".join(finished.output.decode("utf-8", "replace").split())[:200]
        printable = "".join(c if c.isprintable() else "?" for c in said)
        raise MailError(to=to, reason=f"{program} ended with status {finished.code} ({printable or 'it said nothing'})")


def _without_tildes(body: str) -> str:
    """Indent lines that begin with a tilde: some `mail` programs run commands found after it (`~!`)."""
    return re.sub(r"(?m)^~", " ~", body)


async def _send_by_smtp(to: str, subject: str, body: str, options: MailOptions) -> None:
    """Speak SMTP in a thread; at the deadline its connection is shut, so that a server that drips cannot hold us."""
    message = _message(to, subject, body, options)
    context = await asyncio.to_thread(_context, to, options)
    clients: list[smtplib.SMTP | None] = []
    talk = asyncio.ensure_future(asyncio.to_thread(_talk, message, options, context, clients))
    talk.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        await asyncio.wait({talk}, timeout=options.timeout)
    finally:
        _shut(clients)  # late, or we are cancelled: a thread ends only by what it waits for
    if not talk.done():
        reason = f"{options.where()} did not take it within {options.timeout:g} s; check host and port"
        raise MailError(to=to, reason=reason)
    try:
        await talk
    except OSError as error:  # smtplib's own errors are of this family too
        raise MailError(to=to, reason=_reason(error, options)) from error
    except ValueError as error:
        # No `from`: a UnicodeEncodeError holds the text that it could not take, which may be the password.
        raise MailError(to=to, reason=_unsayable(error, options)) from None


def _talk(
    message: EmailMessage, options: MailOptions, context: ssl.SSLContext | None, clients: list[smtplib.SMTP | None]
) -> None:
    """Send the message; raises OSError (SMTPException is one), or ValueError for a word that SMTP cannot carry."""
    import smtplib  # noqa: PLC0415 - options must be cheap to load

    class Client(smtplib.SMTP_SSL if options.tls else smtplib.SMTP):  # type: ignore[misc]
        """Is known before each wait for the server, and ends instead where nobody waits for it any more."""

        def getreply(self) -> Any:
            clients.append(self)
            if None in clients:
                self.close()
                raise ConnectionAbortedError
            return super().getreply()

    client = Client(
        options.host,
        options.effective_port(),
        # smtplib would otherwise look our name up in the DNS, which may take seconds.
        local_hostname=_own_name(socket.gethostname()),
        timeout=options.timeout + 1,  # of one read: the deadline of the whole comes first
        **({"context": context} if options.tls else {}),
    )
    try:
        if options.starttls:
            client.starttls(context=context)
        if options.username is not None and options.password is not None:
            client.login(options.username, options.password.reveal())
        client.send_message(message)
        with suppress(OSError):  # the server has it: how it takes the farewell no longer matters
            client.putcmd("QUIT")
    finally:
        client.close()


def _shut(clients: list[smtplib.SMTP | None]) -> None:
    """End the thread's wait for the server, and those to come."""
    clients.append(None)  # before the look at the others: one that comes later sees it
    for client in clients:
        with suppress(OSError, AttributeError):  # no client, or one without a connection
            client.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


def _context(to: str, options: MailOptions) -> ssl.SSLContext | None:
    """Return what checks the certificate and the name, TLS 1.2 at least (RFC 8996); None where no TLS is spoken.

    MailError when `ca_file` cannot be used: that is no trouble with the server.
    """
    if not (options.tls or options.starttls):
        return None
    import ssl  # noqa: PLC0415 - options must be cheap to load

    try:
        context = ssl.create_default_context(cafile=None if options.ca_file is None else str(options.ca_file))
    except (OSError, ValueError) as error:  # SSLError, for a file that holds no certificate, is an OSError
        said = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
        reason = f"the file {str(options.ca_file)!r} of `ca_file` cannot be used ({said or type(error).__name__})"
        raise MailError(to=to, reason=f"{reason}; check its path and what it holds") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _message(to: str, subject: str, body: str, options: MailOptions) -> EmailMessage:
    """Build the mail; EmailMessage itself refuses line breaks in headers."""
    from email.message import EmailMessage  # noqa: PLC0415 - options must be cheap to load
    from email.utils import formatdate, make_msgid  # noqa: PLC0415

    own_name = _own_name(socket.gethostname())
    message = EmailMessage()
    message["From"] = options.sender or f"watchbridge@{own_name}"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=own_name)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks holiday answers not to answer
    message.set_content(body)
    return message


def _reason(error: OSError, options: MailOptions) -> str:
    """Say what went wrong in our words; the server's own text may hold what was sent to it."""
    import smtplib  # noqa: PLC0415 - options must be cheap to load
    import ssl  # noqa: PLC0415

    where = options.where()
    sentences: tuple[tuple[type[OSError], str], ...] = (
        (smtplib.SMTPAuthenticationError, "{where} refused the user or the password; check both"),
        (smtplib.SMTPRecipientsRefused, "{where} does not take mail for this address; check it, or log in"),
        (smtplib.SMTPSenderRefused, "{where} does not take mail from this sender; set `sender` (SMTP_FROM)"),
        (smtplib.SMTPNotSupportedError, "{where} offers no STARTTLS or no login; check port, starttls and tls"),
        (smtplib.SMTPServerDisconnected, "{where} closed the connection; check port, starttls and tls"),
        (smtplib.SMTPResponseException, "{where} answered {code}; look at its log"),
        (ssl.SSLCertVerificationError, "the certificate of {where} is not trusted; check the name, or set `ca_file`"),
        (ssl.SSLError, "{where} does not speak TLS here; check port, starttls and tls"),
        (TimeoutError, "{where} did not answer in time; check host and port"),
    )
    for kind, sentence in sentences:
        if isinstance(error, kind):
            return sentence.format(where=where, code=getattr(error, "smtp_code", "an error"))
    return f"{where} could not be reached ({error.strerror or type(error).__name__}); check host and port"


def _unsayable(error: ValueError, options: MailOptions) -> str:
    """Say which word SMTP could not carry; never the word, which may be the password."""
    names = {"host": options.host, "username": options.username or ""}
    secret = options.password.reveal() if options.password is not None else ""
    odd = [f"`{name}`" for name, text in {**names, "password": secret}.items() if not text.isascii()]
    if odd:
        return f"{options.where()} can be told only ASCII letters, and {' and '.join(odd)} has others; change it"
    if isinstance(error, UnicodeError):
        return f"{options.host!r} is not a name that can be looked up; check `host` (SMTP_HOST)"
    return f"{options.where()} cannot be spoken to ({type(error).__name__}); check host, username and password"


def _own_name(name: str) -> str:
    """Return this host's name as a mail domain."""
    return name if is_address(f"watchbridge@{name}") else "localhost"


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:  # noqa: PLR2004 - the range of TCP
        return int(text)
    raise ConfigurationError(reason=f"SMTP_PORT is {text!r}: write a port number, such as 587.")


def _flag(environ: Mapping[str, str], name: str) -> bool:
    if (text := environ.get(name, "").strip().lower()) in _TRUE | _FALSE:
        return text in _TRUE
    raise ConfigurationError(reason=f"{name} is {text!r}: write true or false.")


def _password(environ: Mapping[str, str]) -> Secret | None:
    text, path = environ.get("SMTP_PASSWORD"), environ.get("SMTP_PASSWORD_FILE")
    if text and path:
        raise ConfigurationError(reason="SMTP_PASSWORD and SMTP_PASSWORD_FILE are both set: keep one of them.")
    if path:
        try:
            return Secret(Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r"))
        except (OSError, UnicodeDecodeError) as error:
            reason = f"SMTP_PASSWORD_FILE cannot be read ({type(error).__name__}): check its path and its rights."
            raise ConfigurationError(reason=reason) from error
    return Secret(text) if text else None
