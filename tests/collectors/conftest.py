"""An empty database on each engine."""

from __future__ import annotations

import pytest
from servers.engines import EmptyDatabase, FileDatabase, ServerDatabase


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def engine(request: pytest.FixtureRequest) -> EmptyDatabase:
    """Give an empty database, on each engine in turn."""
    if request.param == "sqlite":
        return FileDatabase(request.getfixturevalue("tmp_path"))
    dialect = {"postgres": "postgresql", "mariadb": "mysql"}[request.param]
    return ServerDatabase(request.getfixturevalue(request.param), dialect)
