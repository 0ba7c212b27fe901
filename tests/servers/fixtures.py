"""Fixtures of the real servers; each starts when the first test asks for it and ends with its scope."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from servers import mariadb as mariadb_server
from servers import postgresql as postgresql_server
from servers.alertmanager import Alertmanager
from servers.mariadb import MariaDB
from servers.postgresql import PostgreSQL
from servers.program import Watchbridge, build_wheel, install_wheel
from servers.programs import MissingProgramError, short_folder
from servers.prometheus import Prometheus, scrape
from servers.proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


def _missing(error: MissingProgramError) -> NoReturn:
    if os.environ.get("WATCHBRIDGE_TESTS_SKIP_SERVERS") == "1":
        pytest.skip(str(error))
    pytest.fail(str(error), pytrace=False)


@contextlib.contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except MissingProgramError as error:
        _missing(error)


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[Path]:
    """Give an initialised data directory of PostgreSQL to copy."""
    with _needed(), short_folder() as folder:
        yield postgresql_server.initialise(folder)


@pytest.fixture(scope="session")
def postgres(postgres_template: Path) -> Iterator[PostgreSQL]:
    """Give one running PostgreSQL for the whole session: make a database in it, never stop it."""
    with short_folder() as folder:
        server = PostgreSQL(folder, postgres_template)
        try:
            server.start()
            yield server
        finally:
            server.stop("immediate")


@pytest.fixture
def own_postgres(postgres_template: Path) -> Iterator[Callable[[], PostgreSQL]]:
    """Give a factory of PostgreSQL servers of the test's own, to stop and start."""
    with contextlib.ExitStack() as ends:

        def start() -> PostgreSQL:
            server = PostgreSQL(ends.enter_context(short_folder()), postgres_template)
            ends.callback(server.stop, "immediate")
            server.start()
            return server

        yield start


@pytest.fixture(scope="session")
def mariadb_template() -> Iterator[Path]:
    """Give an initialised data directory of MariaDB to copy."""
    with _needed(), short_folder() as folder:
        yield mariadb_server.initialise(folder)


@pytest.fixture(scope="session")
def mariadb(mariadb_template: Path) -> Iterator[MariaDB]:
    """Give one running MariaDB for the whole session: make a database in it, never stop it."""
    with short_folder() as folder:
        server = MariaDB(folder, mariadb_template)
        try:
            server.start()
            yield server
        finally:
            server.stop("immediate")


@pytest.fixture
def own_mariadb(mariadb_template: Path) -> Iterator[Callable[[], MariaDB]]:
    """Give a factory of MariaDB servers of the test's own, to stop and start."""
    with contextlib.ExitStack() as ends:

        def start() -> MariaDB:
            server = MariaDB(ends.enter_context(short_folder()), mariadb_template)
            ends.callback(server.stop, "immediate")
            server.start()
            return server

        yield start


@pytest.fixture
def prometheus() -> Iterator[Callable[..., Prometheus]]:
    """Give a factory of Prometheus servers: `prometheus(url, …)`, or `scrape_configs=[…]`, and `rule_files=[…]`."""
    with contextlib.ExitStack() as ends, _needed():

        def start(
            *urls: str,
            scrape_configs: Sequence[Mapping[str, Any]] = (),
            rule_files: Sequence[Path] = (),
            alertmanagers: Sequence[str] = (),
            arguments: Sequence[str] = (),
        ) -> Prometheus:
            configs = [*scrape_configs, *([scrape(*urls)] if urls else [])]
            server = Prometheus(ends.enter_context(short_folder()), configs, rule_files, alertmanagers, arguments)
            ends.callback(server.stop)
            return server

        yield start


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[..., TcpProxy]]:
    """Give a factory of proxies before a server's port: `tcp_proxy(port)`."""
    with contextlib.ExitStack() as ends:

        def start(port: int, delay: float = 0.2) -> TcpProxy:
            return ends.enter_context(contextlib.closing(TcpProxy(port, delay)))

        yield start


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this checkout, install it without dependencies into a folder of its own, and give that."""
    folder = tmp_path_factory.mktemp("wheel")
    return install_wheel(build_wheel(folder), folder / "target")


@pytest.fixture
def watchbridge(wheel: Path, tmp_path: Path) -> Iterator[Watchbridge]:
    """Give a factory of the installed program as a real process; what still runs at the end is killed."""
    program = Watchbridge(wheel, tmp_path)
    try:
        yield program
    finally:
        program.close()


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Alertmanager]:
    """Give one Alertmanager for the tests of a module."""
    with short_folder() as folder:
        with _needed():
            server = Alertmanager(folder)
        try:
            yield server
        finally:
            server.kill()
