"""What every test may ask for: real servers, a proxy, the installed program."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from exporter import logs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

pytest_plugins = ["servers.fixtures", "servers.engines", "servers.stores"]

# A busy machine is no mistake: neither an example nor its making is timed.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SERVER_FIXTURES = frozenset(
    {
        "postgres",
        "postgres_template",
        "own_postgres",
        "mariadb",
        "mariadb_template",
        "own_mariadb",
        "prometheus",
        "alertmanager",
        "alertmanagers",
        "wheel",
        "theirs",
    }
)


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end a run as Ctrl-C does, so that the fixtures still end their servers."""
    config.addinivalue_line("markers", "slow: takes many seconds; `-m 'not slow'` leaves it out")
    config.addinivalue_line(
        "markers", "servers: starts a database, Prometheus or the installed program (set by itself)"
    )
    config.addinivalue_line("markers", "alone: compares times; runs when no other test does")
    # Fences of services are for all of a host: tests at the same time would wait for each other's.
    fences = tempfile.TemporaryDirectory(prefix="wb-run-")
    os.environ["RUNTIME_DIRECTORY"] = fences.name
    config.add_cleanup(fences.cleanup)
    if threading.current_thread() is threading.main_thread():
        # A worker is told by its group and by the process that reports; what comes second must not cut the end short.
        once = (signal.SIGTERM, signal.SIGINT) if hasattr(config, "workerinput") else (signal.SIGTERM,)

        def end(*_: object) -> NoReturn:
            for number in once:
                signal.signal(number, lambda *_: None)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, end)
        # Whoever started us in the background may have these ignored, and the programs that we start would inherit it.
        signal.signal(signal.SIGINT, end if signal.SIGINT in once else signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Undo what a test, or the program that it ran, did to the log of this process."""
    root = logging.getLogger()
    named = [logging.getLogger(name) for name in logs.LIBRARIES]
    handlers, levels, raising = list(root.handlers), [each.level for each in (root, *named)], logging.raiseExceptions
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for each, level in zip((root, *named), levels, strict=True):
        each.setLevel(level)
    logging.raiseExceptions = raising
    logs.REDACTION.learn(())
    logs.REDACTION.learn((), "store")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a lone surrogate that a test logged travel from a worker to the process that reports."""
    return _sendable((yield))


def _sendable(part: Any) -> Any:
    if isinstance(part, str):
        return part.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(part, dict):
        return {_sendable(name): _sendable(value) for name, value in part.items()}
    return type(part)(map(_sendable, part)) if isinstance(part, list | tuple) else part


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a real server, so that a fast run can leave it out by `-m 'not servers'`."""
    for item in items:
        asked = {*getattr(item, "fixturenames", ()), *_named_by_parameters(item)}
        if SERVER_FIXTURES & asked:
            item.add_marker(pytest.mark.servers)


def _named_by_parameters(item: pytest.Item) -> set[str]:
    parameters = getattr(item, "callspec", None)
    return {value for value in parameters.params.values() if isinstance(value, str)} if parameters else set()
