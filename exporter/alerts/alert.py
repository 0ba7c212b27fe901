"""The nouns of a delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it was delivered; its texts are NFC, printable and bounded, its times are seconds since 1970.

    `fingerprint` is Alertmanager's, or a hash of the labels where none was sent. `ends_at` is None while it fires.
    """

    fingerprint: str
    status: Literal["firing", "resolved"]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None = None
    generator_url: str = ""

    @property
    def name(self) -> str:
        """Return the label `alertname`, which every alert of Prometheus has."""
        return self.labels.get("alertname", "")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An alert that cannot be taken: its place in the list, a word for why, and a sentence. No content of it."""

    position: int
    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of Alertmanager's. `truncated` counts alerts of the group that it left out (`max_alerts`)."""

    receiver: str
    group_key: str
    alerts: tuple[Alert, ...]
    quarantined: tuple[Quarantined, ...] = ()
    truncated: int = 0
    external_url: str = ""
    group_labels: Mapping[str, str] = field(default_factory=dict)


class PayloadError(ValueError):
    """A request that cannot be read at all: `status` of HTTP, a `word` for the error and a sentence."""

    def __init__(self, status: Literal[400, 413], word: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.word = word
        self.sentence = sentence
