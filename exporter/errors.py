"""Named situations. The docstring of each is its message and says what to do next.

A message is a template over the facts given by the raiser. The exit status of the command line is the
class's: 1 a check says no, 2 usage or configuration, 3 something needed could not be reached.
"""

from __future__ import annotations

import difflib
import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class WatchbridgeError(Exception):
    """Watchbridge could not go on: {reason}."""

    exit_code: ClassVar[int] = 1

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self.describe())

    def describe(self) -> str:
        """Return the sentence for the user; never raises, whatever the facts hold."""
        template = " ".join(inspect.cleandoc(type(self).__doc__ or "").split())
        try:
            # python -OO takes the docstrings away: then the name of the situation and its facts must do.
            return template.format(**self.facts) if template else self._plainly()
        except (KeyError, IndexError, ValueError):
            return self._plainly()

    def _plainly(self) -> str:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__.removesuffix("Error")).lower()
        return f"{words}: " + ", ".join(f"{name} {fact}" for name, fact in self.facts.items())


class ConfigurationError(WatchbridgeError):
    """{reason}"""

    exit_code = 2


class UnreachableError(WatchbridgeError):
    """{reason}"""

    exit_code = 3


class DatabaseError(UnreachableError):
    """The database {database!r} answered with an error: {reason}."""


class DatabaseDriverMissingError(ConfigurationError):
    """The database {database!r} needs the driver {driver!r}: install it with pip install 'watchbridge[{extra}]'."""


class DatabaseUrlError(ConfigurationError):
    """The URL of the database {database!r} is not usable: {reason}; write it as
    postgresql://user:password@host/name, mysql://user:password@host/name or sqlite:////path/to/file."""


class DatabaseUnreachableError(DatabaseError):
    """The database {database!r} could not be reached at {where}: {reason}; check that it runs and that the
    network lets this host in."""


class DatabaseRefusedError(DatabaseError):
    """The database {database!r} at {where} refused the user or the password: check both in its url."""


class DatabasePermissionError(DatabaseError):
    """The database {database!r} does not let this user read {what}: grant {right} on it."""


class DatabaseMissingError(DatabaseError):
    """The database {database!r} does not exist at {where}: check the name at the end of its url."""


class TableMissingError(DatabaseError):
    """The database {database!r} has no table {table!r}: check `table` (and `schema`) of the source."""


class ColumnMissingError(DatabaseError):
    """The table {table!r} of the database {database!r} has no column {column!r}{hint}: check the names in the
    source."""


class StatementTimeoutError(DatabaseError):
    """The database {database!r} did not answer within {seconds:g} s: look at its load and locks, or raise
    `statement_timeout`."""


class PoolTimeoutError(DatabaseError):
    """The database {database!r} had no free connection for {seconds:g} s: raise `pool.size`, or find what
    holds them."""


class RowLimitError(DatabaseError):
    """The query on the database {database!r} gave more than {limit} rows: group it by fewer columns, or raise
    `row_limit`."""


class ColumnTypeError(DatabaseError):
    """The column {column!r} of {table!r} in the database {database!r} is of the type {type}, not a time: name
    another column, or give a whole `query`."""


class QueryShapeError(DatabaseError):
    """The query on the database {database!r} gave {found}: it must give the columns status and count, and may
    give stuck, oldest and newest."""


class UnknownKindError(ConfigurationError):
    """There is no {family} of the kind {word!r}{hint}: known are {known}."""


class StoreError(UnreachableError):
    """The store {where} cannot be used: {reason}."""


class StoreNewerError(StoreError):
    """The store {where} has the schema {found}, which is newer than this program's {ours}: install the newer
    Watchbridge again, or restore a backup made before the upgrade."""

    exit_code = 2


class StoreBusyError(StoreError):
    """The data directory {where} is held by another running Watchbridge{holder}: stop it first, or give this one a
    directory of its own."""

    exit_code = 3


class DataDirectoryError(StoreError):
    """The data directory {where} cannot hold the store: {reason}."""

    exit_code = 2


class BackupError(StoreError):
    """The backup {where} cannot be used: {reason}."""

    exit_code = 2


class MailError(UnreachableError):
    """The mail to {to} could not be sent: {reason}."""


class ListenError(UnreachableError):
    """Watchbridge cannot listen on {address}: {reason}; {mend}."""

    def by_flag(self) -> ListenError:
        """Return the error for an address that the command line gave: its mend names the flag, not the file's key."""
        mend = str(self.facts["mend"]).replace("`listen`", "--web.listen-address")
        return ListenError(**{**self.facts, "mend": mend})


class ProcessNotStartedError(UnreachableError):
    """The program {program!r} could not be started: {reason}; check its path and its rights."""


class UnknownCollectorError(ConfigurationError):
    """There is no collector {word!r} here: collect[] may name {known}."""


class WebConfigError(ConfigurationError):
    """The web configuration {path} cannot be used: {reason}."""


class FamilyDeclarationError(ConfigurationError):
    """The metric family {family!r} cannot be exposed: {reason}; correct its declaration in the collector."""


class LogFileError(ConfigurationError):
    """The log file {path} cannot be written: {reason}; choose another with `log: {{file: …}}`."""


class DatabaseUrlMissingError(ConfigurationError):
    """There is no package database to read: set DATABASE_URL, for example to postgresql://user:password@host/name or
    sqlite:////path/to/file, or give --config FILE."""


class PackageSourceError(ConfigurationError):
    """There is no package source {word!r} in the configuration{hint}: known are {known}."""


class PackageOptionError(ConfigurationError):
    """The option --{name} is not usable: {reason}."""


class NoPackageSourcesError(ConfigurationError):
    """The configuration {path} has no package sources: add one below `packages`, or leave --config out and set
    DATABASE_URL."""


class NoConfigurationError(ConfigurationError):
    """The package source {word!r} is named, but no configuration that could hold it: add --config FILE, or leave the
    name out to read the database of DATABASE_URL."""


class ReportLogError(ConfigurationError):
    """The log file {path} cannot be written: {reason}; choose another with --log-file or LOG_FILE."""


class OutputError(UnreachableError):
    """The output cannot be written: {reason}; check where it goes to, and that there is room."""


class SystemCallError(UnreachableError):
    """The system refused something that is needed{where}: {reason}; check rights, room and limits."""


class ShippedFilesMissingError(WatchbridgeError):
    """This installation of Watchbridge lacks the files it ships in {folder!r}: install the package again."""


class ExportWouldOverwriteError(WatchbridgeError):
    """The folder {target!r} already has other files of the names {names}: compare them, then give --force to
    replace them or choose another folder."""


class ExportFailedError(UnreachableError):
    """{target!r} could not be written: {reason}; choose a folder that this user may write to."""


class InvalidConfigurationError(ConfigurationError):
    """{mistakes}"""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__(mistakes="\n".join(problems))


class StoreUrlError(ConfigurationError):
    """The URL of the store is not usable: {reason}; write it as sqlite:////path/to/file,
    postgresql://user:password@host/name or mysql://user:password@host/name."""


class StoreDriverMissingError(ConfigurationError):
    """The store needs the driver {driver!r}: install it with pip install 'watchbridge[{extra}]'."""


class ClientMissingError(WatchbridgeError):
    """There is no client with the id {id}: list the clients to see which there are."""


class ClientExistsError(WatchbridgeError):
    """There is a client {name!r} already: take another name, or change that one."""


class ClientOfFileError(WatchbridgeError):
    """The client {name!r} has services in the configuration file: change or remove them there first."""


class ServiceMissingError(WatchbridgeError):
    """There is no service with the id {id}: list the services to see which there are."""


class ServiceExistsError(WatchbridgeError):
    """The client {client!r} has a service {name!r} already: take another name, or change that one."""


class ServiceOfFileError(WatchbridgeError):
    """The service {name!r} comes from the configuration file: change it there."""


class ServicesOfApiError(ConfigurationError):
    """The configuration names services that were made through the API: {names}; rename them in the configuration, or
    delete those of the API."""


class InvalidFieldsError(WatchbridgeError):
    """{mistakes}"""

    exit_code = 2

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems
        """What is wrong: each time the field and a sentence."""
        super().__init__(mistakes=" ".join(f"{field}: {sentence}." for field, sentence in problems))


class CredentialKeyMissingError(ConfigurationError):
    """There is no key to encrypt user and password with: set ENCRYPTION_KEY or `key_file` to 32 random bytes, for
    example what `openssl rand -base64 32` prints, after base64:."""


class CredentialUnreadableError(WatchbridgeError):
    """The field {field} of row {row} in {table} cannot be decrypted: {reason}."""


class CryptographyMissingError(ConfigurationError):
    """Stored users and passwords need the library cryptography: install it with pip install cryptography."""


class NotProbedError(ConfigurationError):
    """The service {name!r} has no `probe`: `watchbridge services history NAME --restarts` tells of its restarts."""

    @classmethod
    def check(cls, configuration: Any, name: str) -> None:
        """Raise it for a service of the configuration that nobody looks at."""
        service = configuration.services.get(name)
        if service is not None and service.probe is None:
            raise cls(name=name)


class UnknownServiceError(ConfigurationError):
    """There is no single service {name!r}{hint}: `watchbridge services list` names all."""

    @classmethod
    def of(cls, name: str, known: Sequence[str], *, several: bool = False) -> UnknownServiceError:
        """Return the error with the nearest known name, or with how to tell services of one name apart."""
        if several:
            return cls(name=name, hint=", but one of several clients: write CLIENT/NAME")
        near = difflib.get_close_matches(name, known, n=1)
        return cls(name=name, hint=f" (did you mean {near[0]!r}?)" if near else "")
