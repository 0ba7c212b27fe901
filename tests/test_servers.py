"""The servers of the tests start, answer, misbehave on demand and end."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from servers.program import CHECKOUT
from servers.programs import HOST, MissingProgramError, ServerError, find, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSION = ["postgres", "mariadb"]
OWN = ["own_postgres", "own_mariadb"]
SILENCE_SECONDS = 0.3


@pytest.fixture
def echo() -> Iterator[int]:
    """Give the port of a server that sends back what it gets."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while piece := self.request.recv(1024):
                self.request.sendall(piece)

    with socketserver.ThreadingTCPServer((HOST, 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), 5)


def asked(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(1024)


def python_path() -> str:
    """Return where a run of the tests in a folder of its own finds the fixtures, before what was given."""
    return os.pathsep.join([str(CHECKOUT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize("engine", SESSION)
def test_a_database_server_answers_its_administrator_in_text(engine: str, request: pytest.FixtureRequest) -> None:
    """Rows come back as tuples of text, several statements may be given, a wrong one is an error."""
    server = request.getfixturevalue(engine)
    url = urlsplit(server.create_database("named_database"))
    assert url.path == "/named_database"
    server.execute("CREATE TABLE t (a int, b varchar(9)); INSERT INTO t VALUES (1, 'one'), (2, 'zwei')", url.path[1:])
    assert server.execute("SELECT a, b FROM t ORDER BY a", url.path[1:]) == [("1", "one"), ("2", "zwei")]
    with pytest.raises(ServerError, match="nonesuch"):
        server.execute("SELECT * FROM nonesuch", url.path[1:])


def _login(url: str, password: str) -> str:
    """Log in with the program of the engine and return its answer, or its error."""
    parts = urlsplit(url)
    user, port, database = str(parts.username), str(parts.port), parts.path[1:]
    if parts.scheme == "mysql":
        argv = [
            find("mariadb", ""),
            "--no-defaults",
            "-h",
            HOST,
            "-P",
            port,
            "-u",
            user,
            "-NBe",
            "SELECT 'in'",
            database,
        ]
        environment = {**os.environ, "MYSQL_PWD": password}
    else:
        argv = [find("psql", ""), "-X", "-w", "-h", HOST, "-p", port, "-U", user, "-tAc", "SELECT 'in'", database]
        environment = {**os.environ, "PGPASSWORD": password}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=30)
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("engine", SESSION)
def test_the_owner_of_a_database_logs_in_by_password_only(engine: str, request: pytest.FixtureRequest) -> None:
    """The password of the URL is asked for, a wrong one is refused."""
    url = request.getfixturevalue(engine).create_database()
    assert _login(url, str(urlsplit(url).password)) == "in"
    refused = _login(url, "wrong")
    assert "password authentication failed" in refused or "Access denied" in refused


@pytest.mark.parametrize("engine", OWN)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stopped_server_comes_back_on_its_port_with_its_data(
    engine: str, mode: str, request: pytest.FixtureRequest
) -> None:
    """A stop closes the port; after the start what was committed is there, even when the stop was a crash."""
    server = request.getfixturevalue(engine)()
    port, database = server.port, urlsplit(server.create_database()).path[1:]
    server.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (7)", database)
    server.stop(mode)
    assert not server.running
    with pytest.raises(OSError, match="refused"):
        connect(port)
    server.start()
    assert server.port == port
    assert server.execute("SELECT a FROM t", database) == [("7",)]


@pytest.mark.parametrize("engine", OWN)
def test_two_servers_of_one_test_know_nothing_of_each_other(engine: str, request: pytest.FixtureRequest) -> None:
    """Each has its own port, process and data."""
    first, second = (request.getfixturevalue(engine)() for _ in range(2))
    assert (first.port, first.pid) != (second.port, second.pid)
    first.create_database("only_here")
    with pytest.raises(ServerError, match="only_here"):
        second.execute("SELECT 1", "only_here")


def test_the_proxy_passes_bytes_and_rewrites_urls(tcp_proxy, echo: int) -> None:
    """In the mode `pass` the client sees the server, and a closed client ends the connection."""
    proxy = tcp_proxy(echo)
    assert proxy.url("postgresql://u:p@h:1/db?x=1") == f"postgresql://u:p@{HOST}:{proxy.port}/db?x=1"
    with connect(proxy.port) as client:
        assert asked(client, b"hello") == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert proxy.accepted == 1


def test_a_black_hole_takes_bytes_and_stays_silent(tcp_proxy, echo: int) -> None:
    """Open and new connections hang without an error; healed, a new connection works and the old one stays silent."""
    proxy = tcp_proxy(echo)
    with connect(proxy.port) as old:
        assert asked(old, b"before") == b"before"
        proxy.mode = "blackhole"
        with connect(proxy.port) as new:
            for client in (old, new):
                client.settimeout(SILENCE_SECONDS)
                with pytest.raises(TimeoutError):
                    asked(client, b"lost")
        proxy.mode = "pass"
        with connect(proxy.port) as healed:
            assert asked(healed, b"after") == b"after"
        with pytest.raises(TimeoutError):
            asked(old, b"still lost")


def test_a_reset_ends_open_and_new_connections_with_rst(tcp_proxy, echo: int) -> None:
    """The client sees ECONNRESET, not an end of file."""
    proxy = tcp_proxy(echo)
    with connect(proxy.port) as old:
        assert asked(old, b"before") == b"before"
        proxy.mode = "reset"
        with pytest.raises(ConnectionResetError):
            old.recv(1)
        with pytest.raises(ConnectionResetError), connect(proxy.port) as new:
            new.recv(1)
    proxy.mode = "pass"
    with connect(proxy.port) as healed:
        assert asked(healed, b"after") == b"after"


def test_a_delay_is_added_each_way(tcp_proxy, echo: int) -> None:
    """A question and its answer take the delay twice."""
    proxy = tcp_proxy(echo, delay=0.1)
    proxy.mode = "delay"
    with connect(proxy.port) as client:
        before = time.monotonic()
        assert asked(client, b"slow") == b"slow"
        assert time.monotonic() - before >= 0.2


def test_a_server_behind_the_proxy_can_vanish(tcp_proxy, echo: int) -> None:
    """Where nothing listens behind the proxy the client is cut off."""
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    with connect(tcp_proxy(port).port) as client:
        assert client.recv(1) == b""


def test_prometheus_scrapes_and_answers(prometheus) -> None:
    """It scrapes itself every second: up is 1, one value is a number, several are an error, nonsense too."""
    server = prometheus(scrape_configs=[{"job_name": "self", "static_configs": [{"targets": ["127.0.0.1:9"]}]}])
    server.wait_for('up{job="self"}')
    assert server.value("up") == 0
    assert server.value("absent(nonesuch)") == 1
    assert server.value("nonesuch") is None
    assert server.value("scalar(vector(3))") == 3
    assert server.values("up", "job") == {"self": 0}
    assert [target["health"] for target in server.targets()] == ["down"]
    with pytest.raises(ServerError, match="parse error"):
        server.query("sum(")


def test_prometheus_with_a_bad_configuration_is_an_error_with_its_log(prometheus) -> None:
    """The sentence of Prometheus is in the error."""
    with pytest.raises(ServerError, match="nonesuch"):
        prometheus(scrape_configs=[{"nonesuch": 1}])


def test_the_wheel_is_what_runs(watchbridge) -> None:
    """The program comes from the installed wheel, not from the checkout."""
    where = subprocess.run(
        [sys.executable, "-c", "import exporter; print(exporter.__file__)"],
        env=watchbridge.environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert where.startswith(str(watchbridge.target))
    assert not where.startswith(str(CHECKOUT))


def test_a_missing_program_is_one_sentence_that_says_what_to_install() -> None:
    """It names the script for Debian and the package for other systems."""
    with pytest.raises(MissingProgramError) as caught:
        find("nonesuch-server", "Nonesuch 3 or newer")
    sentence = str(caught.value)
    assert sentence.startswith("nonesuch-server is not installed: run tests/install-servers on Debian or Ubuntu")
    assert "elsewhere install Nonesuch 3 or newer" in sentence


TEMPORARY_TEST = """
def test_it(prometheus, tmp_path_factory):
    import os, time
    server = prometheus("http://127.0.0.1:9")
    with open(os.environ["PID_FILE"], "w") as file:
        file.write(f"{server.pid}\\n")
    time.sleep(60)
"""


@pytest.mark.servers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_run_leaves_no_server_behind(number: int, tmp_path: Path) -> None:
    """The server ends by its process id when the run of the tests is broken off."""
    test = tmp_path / "test_temporary.py"
    test.write_text(TEMPORARY_TEST)
    pid_file = tmp_path / "pid"
    conftest = CHECKOUT / "tests" / "conftest.py"
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(test)]
    with subprocess.Popen(
        argv,
        cwd=tmp_path,
        env={**os.environ, "PID_FILE": str(pid_file), "PYTHONPATH": python_path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        pid = int(until(lambda: pid_file.exists() and pid_file.read_text(), 120, "the server's start"))
        os.kill(pid, 0)
        run.send_signal(number)
        run.communicate(timeout=30)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("skip", "outcome"), [("0", "1 error"), ("1", "1 skipped")], ids=["fails", "skips when told"])
def test_a_missing_server_fails_the_test_unless_told_to_skip(skip: str, outcome: str, tmp_path: Path) -> None:
    """No test is left out in silence: without the server it fails with the sentence, or skips when asked to."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["servers.fixtures"]\n')
    test = tmp_path / "test_temporary.py"
    test.write_text(
        "import servers.postgresql\n"
        "from servers.programs import find\n"
        "servers.postgresql.program = lambda name: find('nonesuch-server', 'PostgreSQL')\n"
        "def test_it(postgres): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(test)],
        cwd=tmp_path,
        env={**os.environ, "WATCHBRIDGE_TESTS_SKIP_SERVERS": skip, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert outcome in done.stdout
    assert "run tests/install-servers" in done.stdout
