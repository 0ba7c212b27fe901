"""The dialogue of a TCP probe as a machine over bytes: what came goes in, what to do now comes out.

It does what blackbox_exporter's `query_response` does (prober/query_response.go), with these differences: whole lines
are looked at first, so that what a group holds does not hang on how the peer's bytes were cut; what comes in the same
piece behind a matching line is kept for the next step; lines and their number are bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter import patterns
from exporter.lines import Lines, quoted
from exporter.probes.tcp.options import expanded, references
from exporter.searching import QUICK
from exporter.wire.call import DONE, WAIT, Send, StartTls, Step, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.model import Cause
    from exporter.probes.tcp.options import QueryResponse

MOST_STEPS: Final = 10 * QUICK
"""Steps of all searches of one dialogue: they hold up the others on the wire's thread, for a second at worst."""
_TRIES: Final = 256
"""How often an unfinished line is searched as it grows: enough for a prompt, and no peer can make it quadratic."""
_TOLD: Final = 50
"""Lines that are explained: quoting costs more than searching."""


class Dialogue:
    """The steps of one connection.

    Attributes:
        at: the step that is under way, from 0; the number of steps when all are done.
        is_open: whether the connection, and TLS where it has begun, is ready.
        failed_due_to_regex: whether the peer ended before a line matched, as blackbox_exporter counts it.
        failed_due_to_bytes: whether other bytes came than `expect_bytes` says.
        labels: name and value of each label of `probe_expect_info`; None until its step matched.

    """

    def __init__(
        self, steps: Sequence[QueryResponse], start_tls: Callable[[], StartTls], explain: Callable[[str], None]
    ) -> None:
        self.at = 0
        self.is_open = False
        self.failed_due_to_regex = False
        self.failed_due_to_bytes = False
        self.labels: dict[str, str] | None = None
        self._steps = steps
        self._start_tls = start_tls
        self._explain = explain
        self._lines = Lines()
        self._tries = 0
        self._spent = 0
        self._told = 0
        self._last: bytes | None = None
        self._reply: bytes | None = None
        self._is_ended = False

    @property
    def is_done(self) -> bool:
        """Whether all steps are done."""
        return self.at >= len(self._steps)

    def opened(self) -> Step:
        """Begin, or go on after TLS has begun."""
        self.is_open = True
        return self._go_on()

    def received(self, data: bytes) -> Step:
        """Take what came."""
        self._lines.feed(data)
        return self._go_on()

    def ended(self) -> None:
        """Take that no more will come: an unfinished line counts as one, and what is left to send is not needed."""
        self._is_ended = True
        step = self._go_on()
        if isinstance(step, StartTls) or (isinstance(step, Send) and isinstance(step.then, StartTls)):
            raise WireError("protocol", "the peer ended the connection when TLS was to begin")
        if not self.is_done:
            raise self._ended_early()

    def awaited(self) -> str:
        """Return in words what the dialogue waits for, and what came last instead."""
        if self.is_done:
            return "the dialogue was over"
        step = self._steps[self.at]
        if step.expect is not None and self._reply is None:
            wanted = f"a line matching {step.expect!r}"
        elif step.expect_bytes:
            wanted = f"{len(step.expect_bytes.encode())} bytes {step.expect_bytes[:40]!r}"
        else:
            wanted = "TLS"
        return f"step {self.at + 1} of {len(self._steps)} waits for {wanted}{self._instead()}"

    @property
    def has_other_answer(self) -> bool:
        """Whether something came in this step that was not what it waits for."""
        return not self.is_done and (self._last is not None or bool(self._lines.tail()))

    def _go_on(self) -> Step:
        """Do the steps until one has to wait; what they send goes out at once."""
        sent = b""
        while not self.is_done:
            step = self._steps[self.at]
            if not self._is_heard(step):
                return Send(sent) if sent else WAIT
            if self._reply:
                sent += self._reply + b"\n"
                self._explain(f"sending {len(self._reply) + 1} bytes of step {self.at + 1}")
            self._next()
            if step.starttls:
                tls = self._begin_tls()
                return Send(sent, tls) if sent else tls
        return Send(sent, DONE) if sent else DONE

    def _next(self) -> None:
        self.at += 1
        self._reply = self._last = None
        self._tries = 0

    def _is_heard(self, step: QueryResponse) -> bool:
        """Return whether all has come that a step waits for; its reply is then known."""
        if self._reply is None:
            self._reply = self._heard(step)
        return self._reply is not None and (not step.expect_bytes or self._has_bytes(step.expect_bytes.encode()))

    def _begin_tls(self) -> StartTls:
        # What came in clear must never be taken for what TLS protects (CVE-2011-0411).
        if dropped := self._lines.clear():
            self._explain(f"dropped {dropped} bytes that came in clear before TLS")
        self._lines = Lines()
        self.is_open = False
        return self._start_tls()

    def _heard(self, step: QueryResponse) -> bytes | None:
        """Return what is to be sent when the step needs no line, or its line has come; None: not yet."""
        if step.expect is None:
            return (step.send or "").encode()
        pattern = patterns.compiled(step.expect)
        while (line := self._lines.line()) is not None:
            if self._told < _TOLD:
                self._told += 1
                self._explain(f"received the line {self._shown(line)}")
            if (match := self._search(pattern, line)) is not None:
                return self._found(step, pattern, match)
            self._last, self._tries = line, 0
        return self._heard_unfinished(step, pattern)

    def _search(self, pattern: patterns.Pattern, line: bytes) -> patterns.Match | None:
        self._spent += pattern.programsize * len(line)
        if self._spent > MOST_STEPS:
            told = f"step {self.at + 1} of {len(self._steps)}: its pattern takes too long for what the peer sends"
            raise WireError("config", f"{told}; write a simpler one, with fewer repetitions")
        return pattern.search(line)

    def _heard_unfinished(self, step: QueryResponse, pattern: patterns.Pattern) -> bytes | None:
        """Look at a line that has not ended yet: a prompt such as `login: ` never does."""
        self._tries += 1
        if not self._is_ended and (self._tries > _TRIES or self._needs_line()):
            return None
        line = self._lines.tail()
        match = self._search(pattern, line) if line else None
        if match is None or (not self._is_ended and match.end() == len(line) and _uses_groups(step)):
            return None
        self._explain(f"received {self._shown(line)} without a line end")
        self._lines.clear()
        return self._found(step, pattern, match)

    def _needs_line(self) -> bool:
        """Whether the line that is awaited must be whole: what comes behind it is TLS, or counted bytes."""
        for index, step in enumerate(self._steps[self.at :]):
            if index and step.expect is not None:
                return False
            if step.starttls or step.expect_bytes:
                return True
        return False

    def _found(self, step: QueryResponse, pattern: patterns.Pattern, match: patterns.Match) -> bytes:
        self._explain(f"{step.expect!r} was found")
        if step.labels:
            values = {label.name: expanded(label.value, pattern, match) for label in step.labels}
            self.labels = {name: value.decode(errors="replace") for name, value in values.items()}
        return expanded(step.send or "", pattern, match)

    def _has_bytes(self, wanted: bytes) -> bool:
        found = self._lines.take(len(wanted))
        if found is None:
            return False
        if found != wanted:
            self.failed_due_to_bytes = True
            reason = (
                f"step {self.at + 1} of {len(self._steps)} waited for {quoted(wanted)} and got {self._shown(found)}"
            )
            raise WireError("answer", reason)
        return True

    def _ended_early(self) -> WireError:
        step = self._steps[self.at]
        self.failed_due_to_regex = step.expect is not None and self._reply is None
        cause: Cause = "answer" if self.failed_due_to_regex and self.has_other_answer else "protocol"
        return WireError(cause, f"the peer ended the connection while {self.awaited()}")

    def _instead(self) -> str:
        last = self._lines.tail() or self._last
        return f"; the last that came was {self._shown(last)}" if last else "; nothing has come"

    def _shown(self, data: bytes) -> str:
        return quoted(data, [step.send for step in self._steps if step.send])


def _uses_groups(step: QueryResponse) -> bool:
    return bool(references(step.send or "") or any(references(label.value) for label in step.labels))
