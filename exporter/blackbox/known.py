"""The modules that `/probe` knows: of `probe_modules`, of `probe_modules_file`, or blackbox_exporter's default."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from exporter.blackbox.options import Module
from exporter.blackbox.translation import translated
from exporter.config.mistakes import refuse, shown
from exporter.errors import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.blackbox.modules import Modules
    from exporter.config.options import Choice

_KEY: Final = "probe_modules_file"
_BUILT_IN: Final = "http_2xx"
"""What blackbox_exporter's own file calls the module that a request means which names none."""


@dataclass(frozen=True, slots=True)
class Known:
    """Modules by name. `refused` has those that cannot be used, with the sentences that say why.

    `secrets` and `warnings` are as a Configuration's.
    """

    choices: Mapping[str, Choice]
    refused: Mapping[str, tuple[str, ...]]
    secrets: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def known(configuration: Any) -> Known:
    """Return the modules of a configuration; InvalidConfigurationError tells the mistakes of its file."""
    own: Mapping[str, Choice] = configuration.probe_modules
    if configuration.probe_modules_file is None:
        return Known(own or built_in(), MappingProxyType({}))
    found = _read(configuration.probe_modules_file)
    if found.mistakes:
        raise refuse(found.name, found.mistakes)
    warnings = (*found.warnings, *(refuse(found.name, found.unsupported).problems if found.unsupported else ()))
    return Known({**found.choices, **own}, found.refused, found.secrets, warnings)


def problems(configuration: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield why the file of modules cannot be used: the check of the key `probe_modules_file`."""
    if configuration.probe_modules_file is None:
        return
    try:
        found = _read(configuration.probe_modules_file)
    except InvalidConfigurationError as error:
        yield from (((_KEY,), sentence) for sentence in error.problems)
        return
    if found.mistakes:
        yield from (((_KEY,), sentence) for sentence in refuse(found.name, found.mistakes).problems)
    for name in configuration.probe_modules:
        if name in found.choices or name in found.left_out:
            yield (_KEY,), f"the module {shown(name)} stands in {found.name} too: rename one of them"


def built_in() -> Mapping[str, Choice]:
    """Return the module that there is when none is configured."""
    choice = translated(Module(prober="http")).choice
    return MappingProxyType({} if choice is None else {_BUILT_IN: choice})


def _read(path: Path) -> Modules:
    from exporter.blackbox import modules  # noqa: PLC0415 -- see the package's docstring

    return modules.read(path)
