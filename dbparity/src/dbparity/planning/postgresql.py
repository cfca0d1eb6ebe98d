"""Which rule reads which statement on PostgreSQL.

Each lock, scan and rewrite that the rules tell is compared with what a server does, by the tests: with pg_locks,
with its count of scans, and with the table's file.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dbparity.planning import rules_index, rules_other, rules_rows, rules_tables
from dbparity.planning.alter import alter_table
from dbparity.planning.effect import UNKNOWN, Effect, OldCode, lock, strongest
from dbparity.planning.locks import Lock
from dbparity.planning.tokens import Reader, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbparity.planning.catalogue import Catalogue

_NEW = (
    *(
        "CREATE TYPE",
        "CREATE EXTENSION",
        "CREATE SCHEMA",
    ),
    *("CREATE AGGREGATE", "CREATE ROLE", "CREATE COLLATION", "CREATE CAST", "CREATE OPERATOR"),
    *("CREATE TEXT SEARCH", "CREATE EVENT TRIGGER"),
)
_GONE = (
    *(
        "DROP TYPE",
        "DROP DOMAIN",
        "DROP EXTENSION",
        "DROP SCHEMA",
        "DROP FUNCTION",
        "DROP PROCEDURE",
        "DROP ROLE",
    ),
    *("DROP AGGREGATE", "DROP COLLATION", "DROP EVENT TRIGGER"),
)
_TEMPORARY = ("CREATE TEMPORARY TABLE", "CREATE TEMP TABLE", "CREATE UNLOGGED TABLE")
_DROPPED = ("DROP TABLE", "DROP VIEW", "DROP MATERIALIZED VIEW", "DROP SEQUENCE")
_CHANGED = (
    *("DROP TRIGGER", "ALTER TRIGGER", "CREATE POLICY", "ALTER POLICY", "DROP POLICY"),
    *("CREATE RULE", "CREATE OR REPLACE RULE", "DROP RULE"),
)
_ROW_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_NOTHING = ("NOTIFY", "LISTEN", "UNLISTEN", "CHECKPOINT", "ALTER DEFAULT PRIVILEGES", "SECURITY LABEL")

_RULES: dict[str, Callable[[Reader, Catalogue], Effect]] = {
    "ALTER TABLE": alter_table,
    "CREATE TABLE": rules_tables.create_table,
    **dict.fromkeys(_TEMPORARY, rules_tables.create_table),
    "CREATE VIEW": rules_tables.create_view,
    "CREATE OR REPLACE VIEW": partial(rules_tables.create_view, replaced=True),
    "CREATE MATERIALIZED VIEW": partial(rules_tables.create_view, stored=True),
    "REFRESH MATERIALIZED VIEW": rules_tables.refresh,
    **dict.fromkeys(_DROPPED, rules_tables.drop_table),
    "TRUNCATE": rules_tables.truncate,
    "CREATE SEQUENCE": rules_other.create_sequence,
    "ALTER SEQUENCE": rules_tables.alter_sequence,
    "CREATE INDEX": partial(rules_index.create_index, unique=False),
    "CREATE UNIQUE INDEX": partial(rules_index.create_index, unique=True),
    "DROP INDEX": rules_index.drop_index,
    "ALTER INDEX": rules_index.alter_index,
    "REINDEX": rules_index.reindex,
    "CREATE TRIGGER": rules_index.create_trigger,
    "CREATE OR REPLACE TRIGGER": rules_index.create_trigger,
    "CREATE CONSTRAINT TRIGGER": rules_index.create_trigger,
    "CREATE STATISTICS": rules_index.statistics,
    **dict.fromkeys(_CHANGED, rules_index.on_table),
    "CREATE DOMAIN": rules_other.create_domain,
    "CREATE FUNCTION": rules_other.create_function,
    "CREATE PROCEDURE": rules_other.create_function,
    "CREATE OR REPLACE FUNCTION": rules_other.replaced,
    "CREATE OR REPLACE PROCEDURE": rules_other.replaced,
    **dict.fromkeys(_NEW, rules_other.new),
    **dict.fromkeys(_GONE, rules_other.gone),
    "ALTER TYPE": rules_other.alter_type,
    "ALTER DOMAIN": rules_other.alter_domain,
    "COMMENT": rules_other.comment,
    "GRANT": rules_other.grant,
    "REVOKE": rules_other.revoke,
    "SET": rules_other.setting,
    "RESET": rules_other.setting,
    "SHOW": rules_other.setting,
    "ANALYZE": rules_other.analyze,
    "VACUUM": rules_other.vacuum,
    "CLUSTER": rules_other.cluster,
    **dict.fromkeys(_NOTHING, rules_other.nothing),
    "UPDATE": rules_rows.update,
    "DELETE": rules_rows.delete,
    "MERGE": rules_rows.merge,
    "SELECT": rules_rows.select,
    "VALUES": rules_rows.select,
    "COPY": rules_rows.copy,
    "LOCK": rules_rows.lock_table,
}


def effect_of(sql: str, at: Catalogue, sets: int = 1) -> Effect:
    """What a statement does, run with so many sets of values; the catalogue follows it."""
    words = Reader(tokens(sql))
    made = frozenset(name for name, table in at.tables.items() if table.new)
    if words.word == "WITH" and not _to_the_statement(words):
        effect = UNKNOWN
    elif words.take("INSERT"):
        effect = rules_rows.insert(words, at, sets)
    else:
        phrase = words.take(*sorted(_RULES, key=len, reverse=True))
        effect = _RULES[phrase](words, at) if phrase else UNKNOWN
    if not effect.known:
        effect = replace(effect, locks=lock(Lock.ACCESS_EXCLUSIVE, *_named(sql, at)))
    return _without_new(effect, made, at)


def _to_the_statement(words: Reader) -> bool:
    """Go to what stands behind WITH; whether what stands in it only reads."""
    start = words.place
    found = words.seek(*_ROW_WORDS, "SELECT")
    before = {token.upper for token in words.found[start : words.place]}
    words.place -= 1
    return bool(found) and not before & _ROW_WORDS - {found}


def _named(sql: str, at: Catalogue) -> list[str]:
    """The tables whose names, or their columns' types, stand anywhere in a statement, strings included."""
    said = {each for word in re.findall(r"\w+", sql) for each in (word, word.lower())}
    return sorted(
        name
        for name, table in at.tables.items()
        if table.known
        and said & {name.rpartition(".")[2], *(column.type for column in table.columns.values())}
    )


def _without_new(effect: Effect, made: frozenset[str], at: Catalogue) -> Effect:
    """What is done to a table that this plan has made concerns nobody."""
    new = made | {name for name, table in at.tables.items() if table.new}
    locks = strongest(each for each in effect.locks if each.table not in new)
    # A partitioned table has no rows of its own, and neither has a view.
    none = new | {name for name, table in at.tables.items() if table.kind in {"partitioned", "view"}}
    work = tuple(each for each in effect.work if each.table not in none)
    if effect.locks and not locks and effect.known:
        reason = "Nobody uses yet what this plan makes."
        return replace(
            effect, locks=(), work=work, old_code=OldCode.GOES_ON, reason=reason, hint="", fails=""
        )
    return replace(effect, locks=locks, work=work)
