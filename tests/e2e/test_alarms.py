"""Without Alertmanager, as the process monitor did: the tables say what is in alarm, and the service is restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from e2e.bridge_scenes import no_tracebacks, told
from e2e.service_scenes import metrics, series
from servers.programs import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers

TABLES = """
CREATE TABLE PROCESE (process_id INT PRIMARY KEY, process_name VARCHAR(255) NOT NULL);
CREATE TABLE STATUS_PROCESS (process_id INT, alarma TINYINT, sound TINYINT, notes TEXT,
  FOREIGN KEY (process_id) REFERENCES PROCESE(process_id));
INSERT INTO PROCESE VALUES (123, 'apache2'), (124, 'mysql'), (125, 'ghost');
INSERT INTO STATUS_PROCESS VALUES (123, 1, 1, 'call the owner'), (124, 1, 0, 'second'), (125, 1, 1, 'whose is it?');
"""
STATUS = "SELECT process_id, alarma, sound, notes FROM STATUS_PROCESS ORDER BY process_id"
NAMES = ("apache2", "mysql", "ghost")
SECONDS = 40.0


def service(file: Path, program: str) -> dict[str, Any]:
    """Return a service that is up when its file is there; `program` is what its restart does to the file."""
    look = {"kind": "command", "argv": ["/usr/bin/test", "-e", str(file)]}
    restart = {"kind": "command", "argv": [program, str(file)], "delay": "0s", "verify_timeout": "200ms", "rest": "1s"}
    return {"restart": {**restart, "verify": look}, "circuit": {"preset": "process"}}


def test_what_is_in_alarm_is_restarted_and_cleared_only_when_that_helped(watchbridge, mariadb, tmp_path: Path) -> None:
    """One is mended, one is not and opens its circuit, one is nobody's; the other columns stay as they were."""
    url = mariadb.create_database()
    database = url.rpartition("/")[2]
    mariadb.execute(TABLES, database)
    config = {
        "listen": [{"address": "127.0.0.1:0"}],
        "mode": "auto",
        "store": f"sqlite:///{tmp_path}/data/watchbridge.db",
        "databases": {"monitoring": {"url": url}},
        "alarms": {"plant": {"database": "monitoring", "every": "1s"}},
        "services": {
            "apache2": service(tmp_path / "apache2", "/usr/bin/touch"),
            "mysql": service(tmp_path / "mysql", "/usr/bin/true"),
        },
    }
    program = watchbridge("serve", config=config)
    until(lambda: "Circuit breaker opened for mysql after 3 failures" in program.output(), SECONDS, "an open circuit")
    until(lambda: mariadb.execute(STATUS, database)[0][1] == "0", SECONDS, "the end of the alarm")
    assert mariadb.execute(STATUS, database) == [
        ("123", "0", "1", "call the owner"),
        ("124", "1", "0", "second"),
        ("125", "1", "1", "whose is it?"),
    ]
    output = program.output()
    for line in (
        "RESTART LOG: Beginning restart procedure for apache2 (strategy: command)",
        "RESTART LOG: Successfully restarted and verified service: apache2",
        "DB UPDATE LOG: Successfully updated alarm status for process_id: 123",
    ):
        assert output.count(line) == 1, line
    assert output.count("no service is named 'ghost'") == 1
    found = series(metrics(program))
    alarms = {name: found[f'watchbridge_process_alarm{{source="plant",process="{name}"}}'] for name in NAMES}
    assert alarms == {"apache2": 0, "mysql": 1, "ghost": 1}
    mariadb.execute("UPDATE STATUS_PROCESS SET alarma = 0 WHERE process_id = 124", database)
    until(lambda: _states(watchbridge) == {"apache2": "done", "mysql": "cancelled"}, SECONDS, "the end of the other")
    assert program.stop() == 0
    no_tracebacks([program])


def _states(watchbridge) -> dict[str, str]:
    listed = told(watchbridge, "backlog", "list", "--queue", "restarts", "--all")
    return {one["key"]: one["state"] for one in listed}
