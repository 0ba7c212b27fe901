"""Who is in a window now, also over the changes of the clocks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from servers.watched import NOON, service

from exporter.config.options import Duration
from exporter.services.maintenance import Maintenance
from exporter.windows import WindowOptions

if TYPE_CHECKING:
    from exporter.services.service import Service

WEB, SHOP, DATABASE = (
    service(1, name="web", group="front"),
    service(2, name="shop", group="front"),
    service(3, name="db"),
)


def covered(maintenance: Maintenance, now: float, *services: Service) -> set[int]:
    return set(maintenance.covered(services or (WEB, SHOP, DATABASE), now))


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        pytest.param({"services": ("web",)}, {1}, id="a service"),
        pytest.param({"groups": ("front",)}, {1, 2}, id="a group"),
        pytest.param({"all": True}, {1, 2, 3}, id="all"),
        pytest.param({"services": ("db",), "groups": ("front",)}, {1, 2, 3}, id="both"),
        pytest.param({"services": ("other",)}, set(), id="another"),
    ],
)
def test_a_window_covers_what_it_names_while_it_lasts(options: dict[str, object], ids: set[int]) -> None:
    """From its first moment on and not at the moment of its end, also where the clock is set back into it."""
    window = WindowOptions(start="2026-05-01T12:00:00Z", end="2026-05-01T13:00:00Z", **options)  # type: ignore[arg-type]
    maintenance = Maintenance((window,))
    assert covered(maintenance, NOON - 0.001) == set()
    assert covered(maintenance, NOON) == ids
    assert covered(maintenance, NOON + 3599.9) == ids
    assert covered(maintenance, NOON + 3600) == set()
    assert covered(maintenance, NOON + 10) == ids


def test_several_windows_are_one_and_repeat() -> None:
    maintenance = Maintenance(
        (
            WindowOptions(services=("web",), cron="0 3 * * *", duration=Duration(3600.0), timezone="Europe/Bucharest"),
            WindowOptions(services=("db",), cron="30 3 * * *", duration=Duration(3600.0), timezone="Europe/Bucharest"),
        )
    )
    found = []
    for text in ("02:59:59", "03:00:00", "03:30:00", "03:59:59", "04:00:00", "04:29:59", "04:30:00"):
        for day in ("2026-05-02", "2026-05-03"):
            at = datetime.fromisoformat(f"{day}T{text}+03:00").timestamp()
            found.append((day, text, covered(maintenance, at)))
    for text, ids in (("02:59:59", set()), ("03:00:00", {1}), ("03:30:00", {1, 3}), ("03:59:59", {1, 3})):
        assert [one for *_, one in [each for each in found if each[1] == text]] == [ids, ids]
    for text, ids in (("04:00:00", {3}), ("04:29:59", {3}), ("04:30:00", set())):
        assert [one for *_, one in [each for each in found if each[1] == text]] == [ids, ids]


def test_services_that_come_and_go_are_seen_while_a_window_lasts() -> None:
    window = WindowOptions(all=True, start="2026-05-01T12:00:00Z", end="2026-05-01T13:00:00Z")
    maintenance = Maintenance((window,))
    assert covered(maintenance, NOON, WEB) == {1}
    assert covered(maintenance, NOON + 1, SHOP, DATABASE) == {2, 3}


def test_without_windows_nobody_is_in_one() -> None:
    assert covered(Maintenance(()), NOON) == set()
