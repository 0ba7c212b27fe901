"""From a request for metrics to its bytes: scrape, render, compress; never longer than a moment on the loop."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from exporter.exposition import Answer, Exposition, accepts_gzip, compressed, negotiate

log: Final = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.exposition import Form
    from exporter.model import Family, Samples
    from exporter.scrape import Scrape

SMALL: Final = 2000
"""Series that render in about a millisecond: moving them to a thread would take longer than the work."""

MARGIN: Final = 0.02
"""Of the time a scrape has, the share kept back for rendering and sending."""


class Telemetry:
    """Renders scrapes; only the lines whose value changed since the last one are written again."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = tuple(families)
        self._whole = Exposition(self._families)
        self._refused = 0
        self._rendering = 0
        # One thread: renders wait for each other anyway, and gzip lets the loop run.
        self._renderer = ThreadPoolExecutor(1, "render")

    async def answer(
        self,
        scrape: Scrape,
        collectors: frozenset[str] | None,
        timeout: float,
        accept: str | None,
        accept_encoding: str | None,
    ) -> Answer:
        """Scrape the named collectors (None: all) within `timeout` seconds and return the body."""
        samples = await scrape.collect(collectors, timeout * (1 - MARGIN))
        content = negotiate(accept)
        gzip = accepts_gzip(accept_encoding)
        # A filtered scrape must not make the whole one forget its lines.
        exposition = self._whole if collectors is None else Exposition(self._families)
        small = sum(len(series) for source in samples for series in source.values()) <= SMALL
        if small and not self._rendering:
            body = _rendered(exposition, samples, content.form, gzip=gzip)
        else:
            # A small one behind a large one would wait for its lock, and the loop with it.
            job = partial(_rendered, exposition, samples, content.form, gzip=gzip)
            self._rendering += 1
            try:
                body = await asyncio.get_running_loop().run_in_executor(self._renderer, job)
            finally:
                self._rendering -= 1
        if exposition is self._whole:
            self._note(exposition.refused)
        return Answer(body, str(content), "gzip" if gzip else None)

    def _note(self, refused: int) -> None:
        """Say once that a collector gives what cannot be written; only a collector of a third party can."""
        if refused != self._refused:
            log.warning("series that cannot be written were left out", extra={"fields": {"series": refused}})
        self._refused = refused

    def close(self) -> None:
        """End the rendering thread once it has finished what it does."""
        self._renderer.shutdown(wait=False, cancel_futures=True)


def _rendered(exposition: Exposition, samples: tuple[Samples, ...], form: Form, *, gzip: bool) -> bytes:
    body = exposition.render(samples, form)
    return compressed(body) if gzip else body
