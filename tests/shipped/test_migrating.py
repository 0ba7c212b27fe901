"""The recipes of docs/migrating.md work where they are pasted, and say what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter import config
from exporter.labels import LIMIT, normalised

if TYPE_CHECKING:
    from servers.postgresql import PostgreSQL

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
BLOCKS = {
    title: re.search(r"```\w+\n(.*?)```", TEXT.partition(f"### {title}\n")[2], re.DOTALL)
    for title in ("Cron", "systemd", "Windows Task Scheduler")
}


@pytest.mark.parametrize("title", ["Cron", "systemd"])
def test_unattended_commands_need_no_path(title: str) -> None:
    """Cron and systemd look in few folders, and a virtual environment is in none of them."""
    if title == "Cron":
        found = re.findall(r"packages\.env; (\S+) packages", TEXT)
        assert len(found) == 2
    else:
        found = re.findall(r"(?m)^ExecStart=(\S+) packages", TEXT)
        assert len(found) == 1
    assert all(command.startswith("/") for command in found)


def test_the_folder_of_the_log_on_windows_is_made() -> None:
    """The command makes the file, not its folder."""
    block = BLOCKS["Windows Task Scheduler"]
    assert block is not None
    log = re.search(r'--log-file "(.*?)\\packages\.log"', block[1])
    assert log is not None
    made = block[1].find(f'New-Item -ItemType Directory -Force -Path "{log[1]}"')
    assert 0 <= made < log.start()


@pytest.mark.parametrize(
    ("text", "shown"), [(None, "__null__"), ("", "__empty__"), ("two\nlines", "two\ufffdlines"), ("=1+1", "=1+1")]
)
def test_what_becomes_of_a_status_is_what_is_said(text: str | None, shown: str) -> None:
    """The stand-ins are named in the section on the formats."""
    section = TEXT.partition("### The formats\n")[2].partition("\n### ")[0]
    assert normalised(text) == shown
    for word in ("`__null__`", "`__empty__`", "`U+FFFD`", f"over {LIMIT} characters", "begins with `=`"):
        assert word in section


OLD = """
CREATE TABLE clients (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE client_services (
  id serial PRIMARY KEY, client_id integer NOT NULL REFERENCES clients, name text NOT NULL, endpoint_url text NOT NULL,
  basic_auth_username text, basic_auth_password text, cron_schedule text NOT NULL, enabled boolean DEFAULT true,
  expected_status_code integer DEFAULT 200, timeout_ms integer DEFAULT 5000);
INSERT INTO clients (name) VALUES ('acme'), ('globex "2"');
INSERT INTO client_services (client_id, name, endpoint_url, cron_schedule, enabled, expected_status_code, timeout_ms)
VALUES (1, 'API', 'https://api.example.com/health', '*/5 * * * *', true, 200, 5000),
       (2, 'API', 'https://api.example.net/health', '0 2 * * *', false, 204, 2500),
       (1, 'shop: ä', 'http://shop.example.com/?a=1&b=2', '* * * * *', true, NULL, 5000);
"""


def test_the_services_of_the_old_database_become_a_configuration(postgres: PostgreSQL) -> None:
    """With the columns that the old README names; what the statement prints is taken as it is."""
    found = re.search(r"```sql\n(.*?)```", TEXT.partition("### Moving your services\n")[2], re.DOTALL)
    assert found is not None
    name = postgres.create_database().rpartition("/")[2]
    postgres.execute(OLD, name)
    ((text,),) = postgres.execute(found[1], name)
    services = config.parse(text, name="services.yml").services
    assert {word: (one.client, one.enabled) for word, one in services.items()} == {
        "acme API": ("acme", True), 'globex "2" API': ('globex "2"', False), "shop: ä": ("acme", True),
    }  # fmt: skip
    probes = {word: one["probe"] for word, one in json.loads(text)["services"].items()}
    assert probes["acme API"] == {
        "kind": "http", "url": "https://api.example.com/health", "schedule": "*/5 * * * *", "timeout": "5000ms",
    }  # fmt: skip
    assert (probes['globex "2" API']["expected_status_code"], probes['globex "2" API']["timeout"]) == (204, "2500ms")
