"""A kind whose secret must be given."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config.options import Secret, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options with a secret."""

    token: Secret = option(help="A token.")
