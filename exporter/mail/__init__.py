"""Mail to people: by SMTP where it is configured, else by the `mail` command of this machine.

What speaks is imported when a mail is sent: the options must be cheap to load.
"""

from __future__ import annotations

import re
import shutil

from exporter.errors import MailError
from exporter.mail.options import MailOptions, is_address, is_recipient, options_from_environment

__all__ = ["MAX_BODY", "MAX_SUBJECT", "MailOptions", "is_address", "is_recipient", "options_from_environment", "send"]

MAX_BODY = 64 * 1024
"""Bytes of a body that are sent; the rest is cut."""
MAX_SUBJECT = 200
"""Characters of a subject that are sent; the rest is cut."""


async def send(to: str, subject: str, body: str, options: MailOptions | None) -> None:
    """Send one mail of plain text; MailError says why it did not leave. Line breaks in the subject become spaces."""
    if not is_recipient(to):
        raise MailError(to=repr(to), reason="this is not one plain mail address such as admin@example.com")
    line = " ".join("".join(c if c.isprintable() else " " for c in subject).split())[:MAX_SUBJECT]
    text = body.encode("utf-8", "replace")[:MAX_BODY].decode("utf-8", "ignore")
    if options is None:
        await _send_by_command(to, line, text)
    else:
        from exporter.mail import smtp  # noqa: PLC0415 - options must be cheap to load

        await smtp.send(to, line, text, options)


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
