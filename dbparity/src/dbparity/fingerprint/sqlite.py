"""What SQLite's library and a connection to a file say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbparity.fingerprint.file import Facts

PRAGMAS = (
    "auto_vacuum",
    "automatic_index",
    "cache_size",
    "cell_size_check",
    "checkpoint_fullfsync",
    "defer_foreign_keys",
    "encoding",
    "foreign_keys",
    "fullfsync",
    "ignore_check_constraints",
    "journal_mode",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "mmap_size",
    "page_size",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "synchronous",
    "temp_store",
    "threads",
    "trusted_schema",
    "wal_autocheckpoint",
)


def facts(connection: Connection) -> Facts:
    """All that tests could notice of this library, this file and this connection."""
    return {
        "library": connection.exec_driver_sql("SELECT sqlite_version()").scalar(),
        "compile_options": dict(map(_option, connection.exec_driver_sql("PRAGMA compile_options").scalars())),
        "pragmas": pragmas(connection),
    }


def pragmas(connection: Connection) -> Facts:
    """Those in effect on this connection; one that this library does not have is left out."""
    found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    return {name: value for name, value in found.items() if value is not None}


def _option(written: str) -> tuple[str, str | bool]:
    name, equals, value = written.partition("=")
    return name, value if equals else True
