"""The keys that the process monitor knows, and what its numbers may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY: Final = 86_400
HOUR: Final = 3_600

DATABASE: Final = "database"
MONITOR: Final = "monitor"
LOGGING: Final = "logging"
PROCESS: Final = "process."
"""What the sections of processes begin with."""
DEFAULT: Final = "process.default"

STRATEGIES: Final = {
    "auto": "auto",
    "service": "systemd",
    "process": "process",
    "custom": "command",
    "docker": "docker",
}
"""Their words for how a process is restarted, and ours."""
LEVELS: Final = {"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error"}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number: what it is when it is left out, and its bounds."""

    default: int
    least: int
    most: int
    unit: str = ""


NUMBERS: Final = {
    "check_interval": Number(30, 1, DAY, "seconds"),
    "max_restart_failures": Number(3, 1, 1000),
    "circuit_reset_time": Number(300, 1, 30 * DAY, "seconds"),
    "max_log_size": Number(5120, 1, 1 << 30, "KB"),
    "log_files_to_keep": Number(5, 0, 1000),
    "max_attempts": Number(2, 1, 100),
    "restart_delay": Number(2, 0, HOUR, "seconds"),
    "health_check_timeout": Number(5, 1, HOUR, "seconds"),
}
"""Every number of the file. The bounds are those of the options that they become."""

COMMANDS: Final = {
    "health_check_command": "health_check",
    "pre_restart_command": "pre_restart",
    "restart_command": "restart",
}
"""What is given to a shell, and the word for it in the name of a script."""

_SECTIONS: Final = {
    DATABASE: ("host", "user", "password", "database"),
    MONITOR: ("check_interval", "max_restart_failures", "circuit_reset_time"),
    LOGGING: ("max_log_size", "log_files_to_keep", "log_level"),
}
_OF_PROCESS: Final = ("restart_strategy", "max_attempts", "restart_delay", "health_check_timeout", *COMMANDS)


def known(section: str) -> tuple[str, ...]:
    """Return the keys of a section by its name; none where the monitor has no such section."""
    return _OF_PROCESS if section.startswith(PROCESS) and section != PROCESS else _SECTIONS.get(section, ())
