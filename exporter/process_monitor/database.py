"""Where the process monitor reads its alarms, as a URL: the password belongs into a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from exporter.config.mistakes import Mistake
from exporter.databases import urls
from exporter.process_monitor import keys

if TYPE_CHECKING:
    from exporter.process_monitor.ini import Section
    from exporter.process_monitor.values import Values

_HOST: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_PLACEHOLDER: Final = "PASSWORD"


@dataclass(frozen=True, slots=True)
class Database:
    """A URL; where `has_password`, it holds the word PASSWORD in the place of one."""

    url: str
    has_password: bool
    host: str


def read(values: Values) -> Database | None:
    """Return where the database is; None after telling why that cannot be said."""
    section = values.ini.sections.get(keys.DATABASE)
    if section is None:
        wanted = "there is no section [database]: without it nobody knows which processes are in alarm"
        values.mistakes.append(Mistake(0, 0, wanted))
        return None
    user, name = (_required(values, section, key) for key in ("user", "database"))
    found = values.word(keys.DATABASE, "host")
    host = "localhost" if found is None else found[0]
    if ":" in host:
        host = f"[{host.strip('[]')}]"
    if found is not None and not (_HOST.fullmatch(host) or _is_address(host)):
        values.refuse(found[1], "[database] host is no name and no address of a host: write one, without a port")
        return None
    if section.spoilt or not user or not name:
        return None
    secret = f":{_PLACEHOLDER}" if password(values) else ""
    url = f"mysql://{quote(user, safe='')}{secret}@{host}/{quote(name, safe='')}"
    if reason := urls.mistake(url):
        values.refuse(section, f"[database] makes no URL that can be used: {reason}")
        return None
    return Database(url, bool(secret), host)


def _required(values: Values, section: Section, key: str) -> str:
    found = values.word(keys.DATABASE, key)
    if found is None:
        values.refuse(section, f"[database] {key} is missing: write {key}=NAME below this line")
        return ""
    return found[0]


def _is_address(host: str) -> bool:
    try:
        IPv6Address(host[1:-1])
    except ValueError:
        return False
    return host.startswith("[")


def password(values: Values) -> str:
    """Return the password as it is written; empty where there is none."""
    found = values.entry((keys.DATABASE,), "password")
    return found[1].value if found is not None else ""
