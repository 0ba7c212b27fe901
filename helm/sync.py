# ruff: noqa: INP001 - a program beside the chart, no module of a package
"""Bring the chart in step with the files that it is made from.

A chart cannot read outside its folder, so the rules and dashboards are copied into it; the table of values in its
README is made from the `# --` comments of values.yaml. `--check` writes nothing and exits 1 on a difference.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = Path(__file__).resolve().parent / "watchbridge"
ROOT = CHART.parent.parent
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


class UndocumentedValueError(Exception):
    """A value without a `# --` comment, and without an ancestor that has one."""


def comment_above(lines: list[str], number: int) -> str | None:
    """Return the `# --` comment that ends on the line before `number` (counted from 0), joined to one line."""
    first = number
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    text = " ".join(line.strip().lstrip("#").strip() for line in lines[first:number])
    return text.removeprefix("-- ") if text.startswith("-- ") else None


def values(node: yaml.MappingNode, lines: list[str], above: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield path, default and description of every documented value; a documented mapping is one value."""
    for key, value in node.value:
        path = f"{above}{key.value}"
        described = comment_above(lines, key.start_mark.line)
        if described is not None:
            yield path, yaml.safe_load(yaml.serialize(value)), described
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from values(value, lines, f"{path}.")
        else:
            raise UndocumentedValueError(path)


def table(text: str) -> str:
    """Return the Markdown table of the values in the text of a values.yaml."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, default, described in values(node, text.splitlines()):
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{path}` | `{shown}` | {described.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def wanted() -> dict[Path, str]:
    """Return what each generated file of the chart must hold."""
    files = {
        CHART / "files" / folder / source.name: source.read_text(encoding="utf-8")
        for folder, pattern in (("rules", "*.yml"), ("grafana", "*.json"))
        for source in sorted((ROOT / folder).glob(pattern))
        if not source.stem.endswith("_test")
    }
    readme = CHART / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    rows = table((CHART / "values.yaml").read_text(encoding="utf-8"))
    files[readme] = f"{before}{BEGIN}\n{rows}\n{END}{after}"
    return files


def differences() -> list[Path]:
    """Return the files of the chart that are missing, differ, or have no source any more."""
    files = wanted()
    stale = [path for path in CHART.glob("files/*/*") if path not in files]
    return stale + [path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]


def main(arguments: list[str] | None = None) -> int:
    """Write what differs, or with --check only name it."""
    parser = argparse.ArgumentParser(description="Bring the chart in step with rules, dashboards and values.yaml.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a difference")
    check = parser.parse_args(arguments).check
    changed = differences()
    files = wanted()
    for path in changed:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if not check and path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        elif not check:
            path.unlink()
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
