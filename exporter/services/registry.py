"""Which services there are: those of the configuration file and those of the store, as one list."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from exporter import kinds
from exporter.logs import REDACTION
from exporter.schedule import Cron, Every
from exporter.services.options import EVERY
from exporter.services.service import Service, configured, pace_of, pace_of_row
from exporter.store import client_services

if TYPE_CHECKING:
    from exporter.config import Configuration
    from exporter.services.options import ServiceOptions
    from exporter.store.client_services import FileService, StoredService
    from exporter.store.credentials import KeyRing
    from exporter.store.store import Store

log: Final = logging.getLogger(__name__)


class Registry:
    """The services of one configuration and of the store, and whether the store's have changed since."""

    def __init__(self, store: Store, configuration: Configuration, keys: KeyRing | None) -> None:
        """`keys` decrypts the credentials of the store's services; None where there is none."""
        self.configuration = configuration
        self._store = store
        self._keys = keys
        self._ids: dict[tuple[str, str], int] | None = None
        self._mark: object = None

    async def load(self) -> list[Service]:
        """Return the enabled services that have a probe, those of the file first. Raises StoreError."""
        options = {name: one for name, one in self.configuration.services.items() if one.probe is not None}
        if self._ids is None:
            self._ids = await client_services.registered(
                self._store, [_for_store(name, one) for name, one in options.items()]
            )
        self._mark = await client_services.mark(self._store)
        ids = self._ids
        of_file = [configured(name, one, ids[one.client, name]) for name, one in options.items() if one.enabled]
        rows = await client_services.made(self._store, self._keys)
        of_store = [of_row(one) for one in rows]
        secrets = [one.password.reveal() for one in rows if one.password is not None]
        REDACTION.learn([*secrets, *(text for one in of_store for text in one.options.hidden())], "store")
        return of_file + [one for one, row in zip(of_store, rows, strict=True) if row.enabled]

    async def changed(self) -> bool:
        """Return whether the store's services are others than those of the last `load`."""
        return bool(await client_services.mark(self._store) != self._mark)


def _for_store(name: str, options: ServiceOptions) -> FileService:
    probe: Any = options.probe
    timing = probe.beside
    expected = getattr(probe.options, "expected_status_code", None)
    pace = pace_of(timing)
    return client_services.FileService(
        client=options.client,
        name=name,
        endpoint=kinds.load("probes", probe.kind).target(probe.options),
        enabled=options.enabled,
        cron_schedule=pace.pattern if isinstance(pace, Cron) else None,
        timeout_ms=round(timing.patience * 1000),
        expected_status_code=expected,
    )


def of_row(row: StoredService) -> Service:
    """Return the service of a row that the API made: an HTTP probe on a cron pattern."""
    from exporter.probes.http.options import BasicAuth, Options  # noqa: PLC0415 - only where such a service is

    problem, login = row.problem, None
    pace: Cron | Every = Every(EVERY)
    try:
        pace = pace_of_row(row.cron_schedule)
    except ValueError as error:  # written by hand, or by another version: it costs this service only
        problem = problem or f"its cron_schedule cannot be used: {error}; change it"
    if row.username is not None and row.password is not None:
        login = BasicAuth(username=row.username.reveal(), password=row.password)
    return Service(
        id=row.id,
        client=row.client,
        name=row.name,
        kind="http",
        options=Options(url=row.endpoint_url, basic_auth=login, expected_status_code=row.expected_status_code),
        pace=pace,
        timeout=row.timeout_ms / 1000,
        origin="api",
        problem=problem,
    )
