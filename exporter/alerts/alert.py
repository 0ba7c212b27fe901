"""The nouns of a delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping


Word = Literal[
    "not_an_object", "bad_status", "bad_labels", "label_too_long", "duplicate_label", "bad_annotations", "bad_time"
]

WORDS: Final[tuple[str, ...]] = get_args(Word)
"""Why an alert is quarantined."""

RefusalWord = Literal[
    "invalid_json",
    "invalid_encoding",
    "duplicate_key",
    "not_a_number",
    "too_deep",
    "not_an_object",
    "unsupported_version",
    "missing_alerts",
    "too_many_alerts",
]

REFUSALS: Final[tuple[str, ...]] = get_args(RefusalWord)
"""Why a whole request is refused: the last with status 413, all others with 400."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it was delivered; its texts are NFC, printable and bounded, its times are seconds since 1970.

    `fingerprint` is Alertmanager's, or a hash of the labels where none was sent. `ends_at` is None while it fires, and
    for one that is resolved and does not say since when. A resolved one without a start began by its end.
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
    word: Word
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

    def __init__(self, status: Literal[400, 413], word: RefusalWord, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.word = word
        self.sentence = sentence


class UnfitError(ValueError):
    """An alert that cannot be taken: a word, and the rest of a sentence that begins with which alert it is."""

    def __init__(self, word: Word, sentence: str) -> None:
        super().__init__(sentence)
        self.word: Word = word
        self.sentence = sentence
