"""What a probe tells a person who asks with `debug=true`: each step, the reading and the metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.exposition import Answer, Exposition, Form
from exporter.logs import REDACTION

if TYPE_CHECKING:
    from exporter.model import Clock, Reading, Samples

_STEPS: Final = 500
_STEP_CHARACTERS: Final = 1000


@dataclass(slots=True)
class Story:
    """What a probe said while it ran, each step with the seconds since its beginning; bounded."""

    clock: Clock
    began: float
    steps: list[tuple[float, str]] = field(default_factory=list)

    def tell(self, step: str) -> None:
        """Take a step; called from the wire's thread too."""
        if len(self.steps) < _STEPS:
            self.steps.append((self.clock.monotonic() - self.began, step[:_STEP_CHARACTERS]))


def told(title: str, story: Story, reading: Reading, samples: tuple[Samples, ...]) -> Answer:
    """Return the story of a probe as text."""
    lines = [title, "", "Steps:"]
    lines += [f"{seconds:9.3f} s  {_line(step)}" for seconds, step in story.steps] or ["  none"]
    cause = f", cause {reading.cause}" if reading.cause else ""
    lines += ["", f"Reading: {reading.state}{cause}, after {reading.duration:.3f} s: {_line(reading.reason)}"]
    lines += [f"  component {_line(one.name)}: {one.state}" for one in reading.components]
    lines += ["", "Metrics:", ""]
    text = "\n".join(lines) + "\n" + Exposition(()).render(samples, Form.TEXT_0_0_4).decode()
    return Answer(REDACTION.apply(text).encode("utf-8", "replace"), "text/plain; charset=utf-8")


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
