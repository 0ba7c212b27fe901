"""Alertmanager on both ways, incidents, and the backlog at the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- the loader reads the types of the fields
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.bridge.options.words import DAY, DEFAULT, HOUR, QUEUE_PATTERN, unknown
from exporter.config.options import Duration, Secret, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.bridge.options.words import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a password."""

    username: str = option(help="The user.", minimum=1)
    password: Secret = option(help="The user's password.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerOptions:
    """Alertmanager on both ways: who may send alerts to us, and where we send alerts and silences to."""

    bearer_token: Secret | None = option(
        None, help="The token that Alertmanager sends with the webhook: `authorization` of its `http_config`."
    )
    url: str | None = option(
        None,
        help="Alertmanager's own URL: to post alerts and silences to, and to ask for what it silences.",
        example="http://alertmanager:9093",
        pattern=r"https?://[^\s/?#@]+(/[^\s?#]*)?",
    )
    basic_auth: Login | None = option(None, help="A user and a password for `url`.")
    api_token: Secret | None = option(None, help="A token for `url`, sent as `Authorization: Bearer`.")
    ca_file: Path | None = option(None, help="Certificates (PEM) to trust instead of the system's, for `url`.")
    timeout: Duration = option(Duration(5.0), help="How long a request to `url` may take.", minimum=0.1, maximum=60)
    silences: Literal["hold", "proceed", "ignore"] = option(
        "hold",
        help="What Alertmanager silences is not acted on, where there is a `url`. hold: nor is anything while it does "
        "not say what it silences; proceed: then all is; ignore: it is not asked.",
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield credentials that contradict each other or that nobody can send."""
        del configuration
        if self.basic_auth is not None and self.api_token is not None:
            yield ("api_token",), "basic_auth and api_token exclude each other: keep one of them"
        for key, secret in (("bearer_token", self.bearer_token), ("api_token", self.api_token)):
            if secret is not None and not secret.reveal().strip():
                yield (key,), "is blank: make a token with `openssl rand -hex 32`"
            elif secret is not None and (not secret.reveal().isascii() or not secret.reveal().isprintable()):
                yield (key,), "the token holds characters that no header carries: make one of letters and digits"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield a token that could be guessed."""
        del configuration
        if self.bearer_token is not None and len(self.bearer_token.reveal()) < _SHORT:
            yield ("bearer_token",), "is short enough to be guessed: make one with `openssl rand -hex 32`"


_SHORT: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsOptions:
    """When incidents end by themselves, and how long they are remembered."""

    silent_after: Duration = option(
        Duration(25.0 * HOUR),
        help="An incident of which nothing was heard for so long is closed: more than Alertmanager's repeat_interval.",
        minimum=60,
        maximum=365 * DAY,
    )
    late_for: Duration = option(
        Duration(300.0),
        help="How long an alert is held that fires again with a start from before its incident's end.",
        minimum=0,
        maximum=DAY,
    )
    retention: Duration = option(
        Duration(90.0 * DAY),
        help="How long closed incidents and the audit are kept.",
        minimum=HOUR,
        maximum=3650 * DAY,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogOptions:
    """The backlog at the command line, and how long finished items are kept."""

    test_mode: bool = option(
        default=True,
        help="Whether `backlog process` only says what it would do; --no-test and --test say otherwise for once.",
    )
    queue: str | None = option(
        None,
        help="The queue of `backlog` commands that name none. Left out: the only one there is, else `default`.",
        pattern=QUEUE_PATTERN,
    )
    log_file: Path | None = option(
        None, help="A file to which each change by the `backlog` commands adds one line.", example="logs/backlog.log"
    )
    retention: Duration = option(
        Duration(30.0 * DAY),
        help="How long items that are done or cancelled are kept.",
        minimum=HOUR,
        maximum=3650 * DAY,
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a queue that nobody knows."""
        if self.queue not in (None, DEFAULT) and self.queue not in configuration.queues:
            yield ("queue",), unknown("queue", str(self.queue), configuration.queues)
