from __future__ import annotations

import pytest

from dbparity.isolation.dirty import Effect, Names, effect_of

NAMES = Names(
    {
        "users": frozenset({"users"}),
        "notes": frozenset({"notes", "archive.notes"}),
        "odd name": frozenset({"Odd Name"}),
        "audited": frozenset({"audited"}),
    },
    indirect=frozenset({"people", "audited"}),
    functions=frozenset({"sign_up"}),
)
USERS, NOTES = frozenset({"users"}), frozenset({"notes", "archive.notes"})
ANYTHING = Effect(anything=True)


@pytest.mark.parametrize(
    ("sql", "effect"),
    [
        ("SELECT * FROM users", Effect()),
        ("SELECT * FROM users FOR UPDATE", Effect()),
        ("select * from users for no key update of users", Effect()),
        ("SELECT 'delete from users'", Effect()),
        ("SELECT 1 -- delete from users", Effect()),
        ("SAVEPOINT sa_savepoint_1", Effect()),
        ("SET lock_timeout = 100", Effect()),
        ("INSERT INTO users (id) VALUES (1)", Effect(USERS)),
        ('INSERT INTO public."users" (id) VALUES (1)', Effect(USERS)),
        ('UPDATE "Odd Name" SET a = 1', Effect(frozenset({"Odd Name"}))),
        ("delete from notes", Effect(NOTES)),
        ("/* users */ DELETE FROM notes", Effect(NOTES)),
        ("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone", Effect(USERS)),
        ("MERGE INTO users USING notes ON false WHEN MATCHED THEN DELETE", Effect(USERS | NOTES)),
        ("TRUNCATE users, notes", Effect(USERS | NOTES)),
        ("COPY users FROM STDIN", Effect(USERS)),
        ("REPLACE INTO users VALUES (1)", Effect(USERS)),
        ("INSERT INTO unheard_of VALUES (1)", ANYTHING),
        ("INSERT INTO people SELECT * FROM users", Effect(USERS, anything=True)),
        ("INSERT INTO audited VALUES (1)", Effect(frozenset({"audited"}), anything=True)),
        ("SELECT sign_up('ada')", ANYTHING),
        ("SELECT * FROM audited", Effect()),
        ("DO $$ BEGIN PERFORM 1; END $$", ANYTHING),
        ("CALL whatever()", ANYTHING),
        ("CREATE TABLE more (id int)", Effect(schema=True)),
        ("DROP TABLE users", Effect(schema=True)),
        ("CREATE TABLE more AS SELECT 1", Effect(anything=True, schema=True)),
    ],
)
def test_a_statement_is_judged_by_its_words(sql: str, effect: Effect) -> None:
    assert effect_of(sql, NAMES) == effect


def test_where_a_string_ends_uncertainly_its_words_count() -> None:
    sql = r"SELECT E'it\'s', (SELECT 1) ; DELETE FROM users -- '"
    assert effect_of(sql, NAMES) == Effect(USERS)
