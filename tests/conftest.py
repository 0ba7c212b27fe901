"""What every test may ask for: real servers, a proxy, the installed program."""

from __future__ import annotations

import signal
import threading

import pytest

pytest_plugins = ["servers.fixtures", "servers.engines"]

SERVER_FIXTURES = frozenset(
    {
        "postgres",
        "postgres_template",
        "own_postgres",
        "mariadb",
        "mariadb_template",
        "own_mariadb",
        "prometheus",
        "wheel",
    }
)


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end a run as Ctrl-C does, so that the fixtures still end their servers."""
    config.addinivalue_line("markers", "slow: takes many seconds; `-m 'not slow'` leaves it out")
    config.addinivalue_line(
        "markers", "servers: starts a database, Prometheus or the installed program (set by itself)"
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a real server, so that a fast run can leave it out by `-m 'not servers'`."""
    for item in items:
        asked = {*getattr(item, "fixturenames", ()), *_named_by_parameters(item)}
        if SERVER_FIXTURES & asked:
            item.add_marker(pytest.mark.servers)


def _named_by_parameters(item: pytest.Item) -> set[str]:
    parameters = getattr(item, "callspec", None)
    return {value for value in parameters.params.values() if isinstance(value, str)} if parameters else set()
