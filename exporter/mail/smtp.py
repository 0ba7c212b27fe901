"""One conversation with an SMTP server, in a thread, with a deadline.

Only the standard library speaks SMTP here.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any

from exporter.errors import MailError
from exporter.mail.options import is_address

if TYPE_CHECKING:
    from exporter.mail.options import MailOptions


async def send(to: str, subject: str, body: str, options: MailOptions) -> None:
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
