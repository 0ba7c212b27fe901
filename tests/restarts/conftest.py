"""A real systemd for the kinds of restarts that ask one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from restarts.configured import systemctl_in
from servers import systemd as server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Iterator[server.Systemd]:
    """Give a systemd with the `UNITS` of the module."""
    with server.running(request.module.UNITS) as running:
        yield running


@pytest.fixture
def there(host: server.Systemd) -> Iterator[server.Systemd]:
    """Let the first systemctl of the folders of the system be one that asks that systemd."""
    with systemctl_in(host.programs):
        yield host
