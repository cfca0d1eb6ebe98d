"""What a PostgreSQL server says of itself, of one of its databases, and of a session in it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dbparity.fingerprint.rating_postgresql import ALWAYS, LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, RowMapping

    from dbparity.fingerprint.file import Facts

HIDDEN = "(not shown)"
SECRET = re.compile(r"conninfo|passw|passphrase|secret|token|credential|_key|^key|command|\.", re.IGNORECASE)
"""A text of such a name may hold what nobody else should read; a dot is in those that extensions bring."""
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}
ACTUAL_VERSION_SINCE = 150000
OF_THE_SERVER = frozenset(
    {"configuration file", "command line", "environment variable", "default", "override"}
)
"""Sources of a setting that holds for every connection."""

_SETTINGS = sa.text("""
SELECT name, current_setting(name, true) AS value, vartype, source,
  setting IS DISTINCT FROM boot_val AND source NOT IN ('default', 'override') AS changed
FROM pg_settings
""")
_DATABASE = sa.text("""
SELECT *, pg_encoding_to_char(encoding) AS spelled FROM pg_database WHERE datname = current_database()
""")
_ACTUAL = sa.text("""
SELECT pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = current_database()
""")
_ROLE = sa.text("""
SELECT rolsuper AS superuser, rolbypassrls AS bypasses_row_policies FROM pg_roles WHERE rolname = current_user
""")
_EXTENSIONS = sa.text("SELECT extname, extversion FROM pg_extension ORDER BY extname")
# Parameters of an application's own are in no list of settings; their names alone, for a value may be a secret.
_CUSTOM = sa.text("""
SELECT DISTINCT split_part(entry, '=', 1) AS name
FROM pg_db_role_setting s, unnest(s.setconfig) AS entry
WHERE entry LIKE '%.%=%' AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
ORDER BY name
""")
_MAY_READ_FILES = sa.text("SELECT has_function_privilege('pg_show_all_file_settings()', 'execute')")
_ZONE_IN_FILES = sa.text("""
SELECT setting FROM pg_file_settings WHERE lower(name) = 'timezone' AND applied ORDER BY seqno DESC LIMIT 1
""")


def facts(connection: Connection) -> Facts:
    """All that tests could notice of this server and this database."""
    rows = {row["name"]: row for row in connection.execute(_SETTINGS).mappings()}
    database = connection.execute(_DATABASE).mappings().one()
    return {
        "server_version": rows["server_version"]["value"],
        "encoding": database["spelled"],
        "collation": _collation(connection, database, int(rows["server_version_num"]["value"])),
        "server_time_zone": _server_time_zone(connection, rows["TimeZone"]),
        "standby": bool(connection.scalar(sa.text("SELECT pg_is_in_recovery()"))),
        "role": dict(connection.execute(_ROLE).mappings().one()),
        "extensions": {row[0]: row[1] for row in connection.execute(_EXTENSIONS)},
        "custom_settings": [name for name in connection.scalars(_CUSTOM) if name not in rows],
        "settings": settings(rows),
    }


def settings(rows: Mapping[str, Any]) -> Facts:
    """What differs from its default, and what can matter even where it does not; what may be secret by name only."""
    wanted = (row for name, row in rows.items() if (row["changed"] or name in ALWAYS) and not _left_out(name))
    return {row["name"]: shown(row["name"], row["value"], row["vartype"]) for row in wanted}


def _left_out(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in LEFT_OUT)


def shown(name: str, value: str, vartype: str) -> str:
    """The value of a setting, unless it may be a secret."""
    return HIDDEN if value and vartype == "string" and SECRET.search(name) else value


def _collation(connection: Connection, database: RowMapping, version: int) -> Facts:
    actual = connection.scalar(_ACTUAL) if version >= ACTUAL_VERSION_SINCE else None
    provider = database.get("datlocprovider", "c")  # asyncpg gives PostgreSQL's "char" as a byte
    return {
        "provider": PROVIDERS[provider.decode() if isinstance(provider, bytes) else provider],
        "collate": database["datcollate"],
        "ctype": database["datctype"],
        "locale": database.get("datlocale") or database.get("daticulocale"),
        "rules": database.get("daticurules"),
        "recorded_version": database.get("datcollversion"),
        "actual_version": actual,
    }


def _server_time_zone(connection: Connection, row: RowMapping) -> str | None:
    """The zone of a connection that says nothing; None where database or role have one, and the files are closed."""
    if row["source"] in OF_THE_SERVER:
        return str(row["value"])
    if not connection.scalar(_MAY_READ_FILES):
        return None
    found = connection.scalar(_ZONE_IN_FILES)
    return str(found) if found else None
