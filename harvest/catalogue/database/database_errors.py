"""Errors of the database as sentences of a closed list; a driver's own words only with ``--debug``."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import ExceptionContext

from lightmeter.errors import LightmeterError, UsageError

_LOCKED = "it is locked by another program"
_DISK_FULL = "the disk is full"
_DAMAGED = "it is damaged"
_OTHER_TABLES = "its tables are not those of Lightmeter"
_UNKNOWN_HOST = "its host is not known"
_CONFLICT = "a value contradicts what is stored"
_UNSTORABLE = "a value cannot be stored"

_SQLITE_IOERR_SHMSIZE = 4874  # the shared memory beside the file cannot grow
_SQLITE = {  # by primary result code: the low byte; the others give details
    1: _OTHER_TABLES, 3: "permission denied", 5: _LOCKED, 6: _LOCKED, 7: "there is not enough memory",
    8: "it is read-only", 10: "the disk cannot be read or written", 11: _DAMAGED, 13: _DISK_FULL,
    14: "the file cannot be opened", 18: _UNSTORABLE, 19: _CONFLICT, 20: _UNSTORABLE,
    26: "the file is not an SQLite database",
}  # fmt: skip
_SQLITE_TEMPORARY = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED
_POSTGRESQL = {  # by state, or its class: the first two characters
    "08": "the connection was lost", "22": _UNSTORABLE, "23": _CONFLICT, "25006": "it is read-only",
    "28": "the server refuses the user or the password",
    "3D": "the server has no such database", "40": _LOCKED, "42501": "the user lacks a permission", "42": _OTHER_TABLES,
    "53100": _DISK_FULL, "53200": "the server has not enough memory", "53300": "the server has too many connections",
    "53": "the server lacks resources", "54": _UNSTORABLE, "55P03": _LOCKED, "57": "the server was stopped",
    "58": "the server cannot read or write its disk", "XX": _DAMAGED,
}  # fmt: skip
_POSTGRESQL_TOO_LONG = "54"  # class of program limits
_POSTGRESQL_TEMPORARY = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock not available
    "57P01",  # administrator shutdown
    "57P02",  # crash shutdown
    "57P03",  # cannot connect now
}
_NO_SERVER = "no server answers"
_INVALID_OPTION = "an option of its URL is invalid"
_UNREACHABLE = {  # errors of a connection have no state, only libpq's words
    r"authentication|password|role .* does not exist": _POSTGRESQL["28"],
    r"database .* does not exist": _POSTGRESQL["3D"],
    r"translate host name|name or service": _UNKNOWN_HOST,
    r"too many (clients|connections)|connection slots": _POSTGRESQL["53300"],
    r"starting up|shutting down": _POSTGRESQL["57"],
    r"invalid (connection option|port number|\w+ value)|bad value for": _INVALID_OPTION,
}
_MAY_RESTART = {_NO_SERVER, _UNKNOWN_HOST, _POSTGRESQL["53300"], _POSTGRESQL["57"]}
"""Why a server is not reached that may be reached soon; a container that restarts has no host name meanwhile."""


class CatalogueError(LightmeterError):
    """The database refused a statement or is unreachable. The message holds neither SQL nor words of the driver.

    Attributes:
        temporary: Whether the transaction may succeed if it is repeated: a lock, or a lost connection.
        refused: Whether the database refuses a value, so that the transaction may succeed without it.
    """

    def __init__(self, message: str, *, temporary: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.temporary, self.refused = temporary, refused


def catalogue_error(context: ExceptionContext) -> CatalogueError | None:
    """Convert an error of a driver to one sentence; a handler of SQLAlchemy's event ``handle_error``."""
    driver = context.dialect.loaded_dbapi
    error = context.original_exception
    if not isinstance(error, driver.Error):
        return None
    return _convert(error, driver, connected=context.connection is not None, lost=context.is_disconnect)


@contextmanager
def driver_cursor(connection: Connection) -> Iterator[Any]:
    """Yield a cursor of the driver, for what SQLAlchemy does not offer, with the same errors.

    Raises:
        CatalogueError: The database refuses a statement, or the connection is lost.
    """
    driver, driver_connection = connection.dialect.loaded_dbapi, connection.connection
    try:
        with closing(driver_connection.cursor()) as cursor:
            yield cursor
    except driver.Error as error:
        lost = connection.dialect.is_disconnect(error, driver_connection, None)
        if lost:
            connection.invalidate(error)
        raise _convert(error, driver, connected=True, lost=lost) from error


def _convert(error: Exception, driver: Any, *, connected: bool, lost: bool) -> CatalogueError:
    """Return an error of a driver as one sentence.

    Args:
        error: The error.
        driver: Module of the driver.
        connected: Whether there was a connection.
        lost: Whether it is lost.
    """
    action = "read or write" if connected else "reach"
    state = str(getattr(error, "sqlstate", None) or "")
    refuses_value = isinstance(error, driver.DataError | driver.IntegrityError)
    reason = _reason(error, state) or (_UNSTORABLE if refuses_value else _reason_without_code(error, connected, lost))
    converted = CatalogueError(
        f"Cannot {action} the catalogue: {reason}.",
        temporary=lost or _is_temporary(error, state) or (not connected and reason in _MAY_RESTART),
        refused=refuses_value or state.startswith(_POSTGRESQL_TOO_LONG),
    )
    if reason == _INVALID_OPTION:
        converted.exit_code = UsageError.exit_code
    return converted


def _reason(error: BaseException, state: str) -> str | None:
    """Return the reason by the code of an error."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _DISK_FULL if code == _SQLITE_IOERR_SHMSIZE else _SQLITE.get(code & 0xFF, "SQLite reports an error")
    return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])


def _reason_without_code(error: BaseException, connected: bool, lost: bool) -> str:
    if connected:
        return _POSTGRESQL["08"] if lost else "the database reports an error"
    message = str(error)[:2000].lower()
    return next((text for pattern, text in _UNREACHABLE.items() if re.search(pattern, message)), _NO_SERVER)


def _is_temporary(error: BaseException, state: str) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return (code is not None and code & 0xFF in _SQLITE_TEMPORARY) or state in _POSTGRESQL_TEMPORARY
