"""The installed wheel shows the packages of real databases to a real Prometheus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from e2e.scenes import COUNTS, STUCK, configuration, fill, fill_sqlite

if TYPE_CHECKING:
    from pathlib import Path

SUCCESS = 'watchbridge_collector_success{collector="packages",source="registry"}'
MILLION = """
CREATE TABLE packages AS
SELECT (ARRAY['Checking Licence', 'Downloaded', 'Security Scanning', 'Security Scanned', 'Pending Approval',
              'Approved', 'Rejected', 'Published'])[1 + n % 8] AS status,
       now() - make_interval(secs => n % 7200) AS updated_at
FROM generate_series(1, 1000000) AS n;
ANALYZE packages;
GRANT SELECT ON packages TO PUBLIC;
"""


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a database that holds the packages, on each engine."""
    if request.param == "sqlite":
        return fill_sqlite(tmp_path / "packages.db")
    server = request.getfixturevalue(request.param)
    url = server.create_database()
    fill(server, url)
    return str(url)


@pytest.mark.servers
def test_prometheus_sees_every_status(source: str, watchbridge, prometheus, tmp_path: Path) -> None:
    """Counts, stuck counts and timestamps are right, statuses without a row are 0, the target and the source are up."""
    program = watchbridge("serve", config=configuration(tmp_path, source))
    server = prometheus(program.url)
    server.wait_for("watchbridge_packages")
    assert server.value("up") == 1
    assert server.value(SUCCESS) == 1
    assert server.values('watchbridge_packages{source="registry"}', "status") == COUNTS
    assert server.values('watchbridge_packages_stuck{source="registry"}', "status") == STUCK
    oldest = server.values("watchbridge_packages_oldest_update_timestamp_seconds", "status")
    newest = server.values("watchbridge_packages_newest_update_timestamp_seconds", "status")
    assert set(oldest) == set(newest) == {"Downloaded", "Pending Approval", "Published"}
    now = time.time()
    assert oldest["Pending Approval"] == pytest.approx(now - 30 * 3600, abs=120)
    assert newest["Pending Approval"] == pytest.approx(now - 30, abs=120)
    assert oldest["Published"] == newest["Published"] == pytest.approx(now - 400 * 86400, abs=120)


@pytest.mark.parametrize("engine", ["own_postgres", "own_mariadb"])
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_database_that_goes_and_comes_back(
    engine: str, mode: str, request: pytest.FixtureRequest, watchbridge, prometheus, tmp_path: Path
) -> None:
    """While it is away the counts are absent and its success is 0, the target stays up; it recovers by itself."""
    database = request.getfixturevalue(engine)()
    url = database.create_database()
    fill(database, url)
    program = watchbridge("serve", config=configuration(tmp_path, url))
    server = prometheus(program.url)
    server.wait_for(f"{SUCCESS} == 1")
    database.stop(mode)
    server.wait_for(f"{SUCCESS} == 0")
    server.wait_for("absent(watchbridge_packages)")
    assert server.value("up") == 1
    database.start()
    server.wait_for(f"{SUCCESS} == 1")
    assert server.values("watchbridge_packages", "status") == COUNTS
    assert program.exit_code is None


def test_a_database_that_is_down_at_the_start(own_postgres, watchbridge, prometheus, tmp_path: Path) -> None:
    """The program starts all the same, says so by its success, and reads once the database is there."""
    database = own_postgres()
    url = database.create_database()
    fill(database, url)
    database.stop()
    server = prometheus(watchbridge("serve", config=configuration(tmp_path, url)).url)
    server.wait_for(f"{SUCCESS} == 0")
    assert server.query("watchbridge_packages") == []
    database.start()
    server.wait_for("watchbridge_packages")
    assert server.values("watchbridge_packages", "status") == COUNTS


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_a_black_hole_costs_only_its_own_series(
    engine: str, request: pytest.FixtureRequest, watchbridge, prometheus, tcp_proxy, tmp_path: Path
) -> None:
    """Where every packet is dropped the scrape still answers within Prometheus' timeout, with the other source."""
    database = request.getfixturevalue(engine)
    url = database.create_database()
    fill(database, url)
    proxy = tcp_proxy(database.port)
    config = configuration(tmp_path, proxy.url(url))
    config["databases"]["direct"] = {"url": url}
    config["packages"]["other"] = {"database": "direct"}
    server = prometheus(watchbridge("serve", config=config).url)
    server.wait_for(f"{SUCCESS} == 1")
    proxy.mode = "blackhole"
    server.wait_for(f"{SUCCESS} == 0")
    server.wait_for('absent(watchbridge_packages{source="registry"})')
    assert server.value("up") == 1
    assert server.values('watchbridge_packages{source="other"}', "status") == COUNTS
    proxy.mode = "pass"
    server.wait_for(f"{SUCCESS} == 1")
    assert server.value("min_over_time(up[1m])") == 1


@pytest.mark.slow
def test_a_million_packages_are_read_inside_the_deadline(postgres, watchbridge, prometheus, tmp_path: Path) -> None:
    """Every scrape answers, and the sum over the statuses is the number of rows."""
    url = postgres.create_database("million")
    postgres.execute(MILLION, "million")
    program = watchbridge("serve", config=configuration(tmp_path, url))
    job = {"scrape_interval": "5s", "scrape_timeout": "5s", "job_name": "watchbridge"}
    server = prometheus(scrape_configs=[{**job, "static_configs": [{"targets": [program.url.split("/")[2]]}]}])
    server.wait_for("watchbridge_packages")
    assert server.value("sum(watchbridge_packages)") == 1_000_000
    assert set(server.values("watchbridge_packages", "status")) == set(COUNTS)
    assert server.value("up") == 1
    assert server.value("scrape_duration_seconds") < 5
    # 125,000 packages in each of the six open statuses, half of them older than an hour.
    assert server.value("sum(watchbridge_packages_stuck)") == pytest.approx(375_000, rel=0.02)
