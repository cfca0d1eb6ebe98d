"""What a text of several statements comes apart into, and which table a name is of."""

from __future__ import annotations

import pytest

from dbparity.planning import postgresql
from dbparity.planning.catalogue import Catalogue, Index, Table
from dbparity.planning.tokens import split


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("SELECT 'C:\\'; DROP TABLE a; SELECT ';'", ["SELECT 'C:\\'", "DROP TABLE a", "SELECT ';'"]),
        ("SELECT E'it\\'s; one'; SELECT 2", ["SELECT E'it\\'s; one'", "SELECT 2"]),
        ("ALTER TABLE a ADD atomic int; DROP TABLE b", ["ALTER TABLE a ADD atomic int", "DROP TABLE b"]),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; DROP TABLE b",
            [
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END",
                "DROP TABLE b",
            ],
        ),
        ("DO $do$ BEGIN; $x$;$x$ END $do$; SELECT 1", ["DO $do$ BEGIN; $x$;$x$ END $do$", "SELECT 1"]),
    ],
)
def test_no_statement_hides_behind_another(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


def test_an_index_is_found_in_the_schema_that_is_named() -> None:
    at = Catalogue(schemas={"public.users": "users"})
    for name in ("tenant.users", "users"):
        at.tables[name] = Table(name, known=True, indexes={"ix": Index(("id",))})
    locks = {
        sql: postgresql.effect_of(sql, at).locks[0].table for sql in ("DROP INDEX tenant.ix", "DROP INDEX ix")
    }
    assert locks == {"DROP INDEX tenant.ix": "tenant.users", "DROP INDEX ix": "users"}
