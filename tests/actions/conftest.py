"""A real Alertmanager for the actions that post to one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from servers.alertmanager import Alertmanager
from servers.programs import MissingProgramError, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Alertmanager]:
    """Give one Alertmanager for the tests of a module."""
    with short_folder() as folder:
        try:
            server = Alertmanager(folder)
        except MissingProgramError as error:
            if os.environ.get("WATCHBRIDGE_TESTS_SKIP_SERVERS") == "1":
                pytest.skip(str(error))
            pytest.fail(str(error), pytrace=False)
        try:
            yield server
        finally:
            server.kill()
