"""What keeps a loop from its work: said in the log once when it begins and once when it is over, and tried again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from exporter.errors import WatchbridgeError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator


class Trouble:
    """The trouble of one loop; `reason` is a sentence while there is any, else None."""

    def __init__(self, log: logging.Logger, what: str, over: str, *, unforeseen: str | None = None) -> None:
        """Take the sentences: `what` cannot be done, `over`: it can be again, `unforeseen` for what nobody expected."""
        self.reason: str | None = None
        self._log = log
        self._what = what
        self._over = over
        self._unforeseen = unforeseen or what

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Let nothing out of the block but a cancellation: what goes wrong in it is the reason until it goes well."""
        try:
            yield
        except WatchbridgeError as error:
            if self.reason is None:
                self._log.error("%s: %s", self._what, error)
            self.reason = str(error)
        except Exception as error:  # noqa: BLE001 - nobody foresaw it; it is logged with its traceback
            if self.reason is None:
                self._log.exception("%s", self._unforeseen)
            self.reason = f"{self._unforeseen} ({type(error).__name__}): its log line has the place"
        else:
            if self.reason is not None:
                self._log.info("%s", self._over)
            self.reason = None
