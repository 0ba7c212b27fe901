"""The installed program as a process: starts, reloads, ends."""

from __future__ import annotations

import signal
import urllib.request
from typing import TYPE_CHECKING

import pytest
from e2e.scenes import COUNTS, configuration, fill_sqlite
from servers.programs import HOST, free_port, until

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Program

pytestmark = pytest.mark.servers


def metrics(program: Program) -> str:
    with urllib.request.urlopen(f"{program.url.rstrip('/').removesuffix('/metrics')}/metrics", timeout=15) as answer:  # noqa: S310
        return str(answer.read().decode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "ctrl-c"])
def test_a_signal_ends_it_cleanly(number: int, watchbridge, tmp_path: Path) -> None:
    """It ends within the grace with 0, without a traceback, and its port is free again."""
    config = configuration(tmp_path, fill_sqlite(tmp_path / "packages.db"))
    program = watchbridge("serve", config=config)
    program.send(number)
    assert program.wait(10) == 0
    assert "Traceback" not in program.output()
    again = watchbridge("serve", config=config)
    assert again.url == program.url


def test_it_ends_cleanly_while_a_database_hangs(postgres, tcp_proxy, watchbridge, tmp_path: Path) -> None:
    """A black hole does not hold the end up."""
    proxy = tcp_proxy(postgres.port)
    proxy.mode = "blackhole"
    program = watchbridge("serve", config=configuration(tmp_path, proxy.url(postgres.create_database())))
    metrics(program)
    assert program.stop(15) == 0
    assert "Traceback" not in program.output()


def test_a_good_reload_takes_effect_and_a_bad_one_changes_nothing(watchbridge, tmp_path: Path) -> None:
    """SIGHUP reads the file again: a good one is used, a bad one leaves the old and says so in a metric and the log."""
    config = configuration(tmp_path, fill_sqlite(tmp_path / "packages.db"))
    program = watchbridge("serve", config=config)
    assert 'watchbridge_packages{source="registry",status="Downloaded"} 2' in metrics(program)

    config["packages"]["renamed"] = config["packages"].pop("registry")
    watchbridge.configuration(config)
    program.send(signal.SIGHUP)
    until(lambda: 'source="renamed",status="Downloaded"} 2' in metrics(program), 15, "the good reload")
    assert 'source="registry"' not in metrics(program)
    assert "watchbridge_config_last_reload_successful 1" in metrics(program)

    watchbridge.configuration({**config, "packges": {}})
    program.send(signal.SIGHUP)
    until(lambda: "watchbridge_config_last_reload_successful 0" in metrics(program), 15, "the bad reload")
    assert 'source="renamed",status="Downloaded"} 2' in metrics(program)
    assert "packges" in program.output()


def test_a_bad_configuration_is_refused_at_the_start(watchbridge, tmp_path: Path) -> None:
    """Status 2, every mistake on standard error, nothing on standard output."""
    config = configuration(tmp_path, fill_sqlite(tmp_path / "packages.db"))
    path = watchbridge.configuration({**config, "packges": {}, "lissten": []})
    done = watchbridge.run("serve", "--config", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "packges" in done.stderr
    assert "lissten" in done.stderr
    assert "Traceback" not in done.stderr


def test_killed_and_started_again_it_serves_at_once(watchbridge, tmp_path: Path) -> None:
    """A kill leaves nothing that keeps the next start from serving."""
    config = configuration(tmp_path, fill_sqlite(tmp_path / "packages.db"))
    program = watchbridge("serve", config=config)
    metrics(program)
    program.kill()
    again = watchbridge("serve", config=config)
    assert "watchbridge_build_info" in metrics(again)


def test_a_second_one_on_the_same_store_is_refused(watchbridge, tmp_path: Path) -> None:
    """The data directory is held: the second ends with 3 and a sentence, the first goes on."""
    config = configuration(tmp_path, fill_sqlite(tmp_path / "packages.db"))
    first = watchbridge("serve", config=config)
    config = {**config, "listen": configuration(tmp_path, "sqlite:///x")["listen"]}
    second = watchbridge.run("serve", "--config", str(watchbridge.configuration(config, "second.yml")))
    assert second.returncode == 3
    assert "held by another running Watchbridge" in second.stderr
    assert first.exit_code is None
    assert "watchbridge_build_info" in metrics(first)


def test_the_demo_serves_all_statuses_and_leaves_nothing_behind(watchbridge, prometheus, tmp_path: Path) -> None:
    """A real Prometheus sees packages in each of the eight statuses, some stuck; Ctrl-C ends it with 0."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    address = f"{HOST}:{free_port()}"
    program = watchbridge("demo", "--web.listen-address", address, env={"TMPDIR": str(temporary)}, wait=False)
    until(lambda: f"{address}/metrics" in program.output() or program.exit_code is not None, 30, "the demo's welcome")
    assert program.exit_code is None, program.output()
    server = prometheus(f"http://{address}/metrics")
    server.wait_for("watchbridge_packages")
    counts = server.values("sum by (status) (watchbridge_packages)", "status")
    assert set(counts) >= set(COUNTS)
    assert all(counts[status] > 0 for status in COUNTS)
    assert server.value("sum(watchbridge_packages_stuck)") > 0
    program.send(signal.SIGINT)
    assert program.wait(15) == 0
    assert "Traceback" not in program.output()
    assert list(temporary.iterdir()) == []
