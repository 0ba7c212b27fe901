"""The wheel holds what the program needs, and nothing else."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def files(folder: Path) -> set[str]:
    """Return the files below a folder, without what Python compiled."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_only_our_package_is_in_it(wheel: Path) -> None:
    """Beside it stand what describes it and the command; no tests, no documents."""
    found = {path.name.partition("-")[0] + path.suffix for path in wheel.iterdir()}
    assert found == {"exporter", "watchbridge.dist-info", "bin"}
    assert not [name for name in files(wheel) if "test" in Path(name).name]


def test_every_file_of_the_package_is_in_it(wheel: Path) -> None:
    """Code, types, templates, what the page loads and migrations: all that the checkout has."""
    ours = {name for name in files(CHECKOUT / "exporter") if not name.endswith((".pyc", ".partial"))}
    found = {name for name in files(wheel / "exporter") if not name.startswith("shipped/") or name.endswith(".py")}
    assert found == ours
    for name in ("py.typed", "web/templates/page.html", "web/static/watchbridge.css"):
        assert name in found
    assert [name for name in found if name.startswith("store/migrations/versions/")]


def test_what_ships_is_in_it_without_its_tests(wheel: Path) -> None:
    """A new rule or dashboard that the wheel does not name is missed here."""
    for folder in ("rules", "grafana", "alertmanager"):
        ours = {name for name in files(CHECKOUT / folder) if not name.endswith("_test.yml")}
        assert ours
        assert files(wheel / "exporter" / "shipped" / folder) == ours
