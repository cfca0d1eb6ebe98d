"""The tables of ratings: every row has a sentence and a source, and no fact that is collected is without a row."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from dbparity.fingerprint import Effect, compare
from dbparity.fingerprint.packages import Role
from dbparity.fingerprint.postgresql import HIDDEN, settings, shown
from dbparity.fingerprint.rating import NOT_RATED, WORST_FIRST, Row, rated
from dbparity.fingerprint.rating_postgresql import ALWAYS, LEFT_OUT, SETTINGS
from dbparity.fingerprint.rating_tables import (
    DECLARED,
    FACTS,
    PACKAGES,
    UNCONTRACTED,
    UNDECLARED,
    VARIABLES,
)

if TYPE_CHECKING:
    from dbparity.testing.postgres import PrivateCluster

ROWS = [*SETTINGS, *FACTS, *VARIABLES, DECLARED, UNDECLARED, UNCONTRACTED]
DOCUMENTED = (
    "PostgreSQL",
    "SQLite",
    "SQLAlchemy",
    "Python",
    "Alembic",
    "pytest-",
    "POSIX",
    "dbparity",
    "Silva",
    "Gruber",
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.names[:40])
def test_every_row_has_one_sentence_and_a_source(row: Row) -> None:
    assert row.names.split()
    assert row.why.endswith(".")
    assert row.why[0].isalnum()
    assert ". " not in row.why
    assert row.effect in Effect
    assert row.source


def test_every_rating_of_a_fact_or_setting_names_its_documentation() -> None:
    assert [row.names for row in (*SETTINGS, *FACTS) if not row.source.startswith(DOCUMENTED)] == []


def test_every_role_of_a_package_has_its_sentence() -> None:
    assert set(PACKAGES) == set(Role)
    for _, why in PACKAGES.values():
        assert why.endswith(".")
        assert ". " not in why or why.startswith("Not rated: ")


def test_the_worst_comes_first() -> None:
    assert list(map(str, WORST_FIRST)) == ["can change results", "timing", "durability only", "none"]


def test_no_row_is_hidden_behind_an_earlier_one() -> None:
    """A name that is written out in a row is judged by that row."""
    for table in (SETTINGS, FACTS, VARIABLES):
        for row in table:
            for name in (each for each in row.names.split() if "*" not in each):
                assert rated(table, name) is row, name


def test_every_setting_of_the_server_is_rated(quick_cluster: PrivateCluster) -> None:
    names = quick_cluster.sql("SELECT name FROM pg_settings")
    assert len(names) > 300
    left_out = Row(" ".join(LEFT_OUT), Effect.NONE, "", "")
    wanted = {name for name in names if not left_out.is_about(name)}
    assert sorted(name for name in wanted if rated(SETTINGS, name) is NOT_RATED) == []
    assert set(names) >= ALWAYS - {"transaction_timeout"}  # of PostgreSQL 17


def test_durability_is_told_from_visibility() -> None:
    row = rated(SETTINGS, "synchronous_commit")
    assert row.effect is Effect.DURABILITY
    assert "visible to everybody at once either way" in row.why
    assert {rated(SETTINGS, name).effect for name in ("fsync", "full_page_writes")} == {Effect.DURABILITY}


LATER = (
    "summarize_wal wal_summary_keep_time debug_io_direct debug_logical_replication_streaming icu_validation_level "
    "createrole_self_grant scram_iterations send_abort_for_crash send_abort_for_kill allow_alter_system "
    "event_triggers max_parallel_apply_workers_per_subscription md5_password_warnings oauth_validator_libraries "
    "idle_replication_slot_timeout autovacuum_worker_slots io_method file_copy_method ssl_groups ssl_tls13_ciphers "
    "track_cost_delay_timing log_lock_failures max_active_replication_origins vacuum_truncate"
)


@pytest.mark.parametrize("name", LATER.split())
def test_settings_of_later_versions_than_that_of_the_server_here_are_rated(name: str) -> None:
    assert rated(SETTINGS, name) is not NOT_RATED


@pytest.mark.parametrize(
    "name",
    [
        "old_snapshot_threshold",
        "synchronous_standby_names",
        "max_worker_processes",
        "autovacuum",
        "track_counts",
    ],
)
def test_what_can_fail_a_test_by_an_error_a_wait_or_another_plan_is_not_called_timing(name: str) -> None:
    assert rated(SETTINGS, name).effect is Effect.RESULTS


def test_what_no_row_knows_is_not_ruled_out() -> None:
    found = compare(*({"machine": {"phase_of_the_moon": each}} for each in ("new", "full"))).differences
    assert [(each.effect, each.why) for each in found] == [(Effect.RESULTS, NOT_RATED.why)]
    assert found[0].why.startswith("Not rated: ")


def test_a_table_of_facts_is_compared_with_none_fact_by_fact() -> None:
    whole, none, other = ({"machine": each} for each in ({"a": {"b": 1, "c": 2}}, {}, {"a": 3}))
    for sides in ((whole, none), (none, whole)):
        assert [each.fact for each in compare(*sides).differences] == ["machine/a/b", "machine/a/c"]
    assert [each.fact for each in compare(whole, other).differences] == ["machine/a"]


@pytest.mark.parametrize(
    ("fact", "a", "b"),
    [
        ("TimeZone", "UTC", "Etc/UTC"),
        ("server_time_zone", "Zulu", "UTC"),
        ("server_time_zone", None, "Europe/Berlin"),
        ("lc_messages", "en_US.UTF-8", "en_US.utf8"),
    ],
)
def test_two_names_of_one_thing_change_nothing(fact: str, a: Any, b: Any) -> None:
    found = compare(*({"databases": {"postgresql": {fact: each}}} for each in (a, b)))
    assert [each.effect for each in found.differences] == [Effect.NONE]
    assert not found.changes_results


def test_a_connection_that_one_side_could_not_ask_does_not_differ() -> None:
    asked, not_asked = {"settings": {"jit": "off"}}, {"unknown": "OperationalError"}
    for sides in ((asked, not_asked), (not_asked, asked), (not_asked, not_asked)):
        assert compare(*({"sessions": {"connection": each}} for each in sides)).differences == []


@pytest.mark.parametrize(("a", "b"), [("UTC", "Europe/London"), ("UTC", None), ("C.UTF-8", "de_DE.UTF-8")])
def test_two_things_are_not_taken_for_one(a: Any, b: Any) -> None:
    for fact in ("TimeZone", "ctype"):
        assert compare(*({"databases": {"postgresql": {fact: each}}} for each in (a, b))).changes_results


COLLATION = {"provider": "icu", "locale": "und", "collate": "C", "ctype": "C", "actual_version": "153.120"}


@pytest.mark.parametrize(
    ("changed", "fact", "b"),
    [
        ({"locale": "de"}, "collation", "icu de"),
        ({"provider": "libc", "locale": None}, "collation", "libc C"),
        ({"rules": "& V < w"}, "collation", "icu und & V < w"),
        ({"ctype": "de_DE"}, "ctype", "de_DE"),
        ({"recorded_version": "153.14"}, "collation_version", "153.120, made under 153.14"),
        ({"recorded_version": "72", "actual_version": "72"}, "collation_version", "72"),
    ],
)
def test_a_collation_is_compared_by_what_it_does(changed: dict[str, Any], fact: str, b: str) -> None:
    whole = COLLATION | {"recorded_version": "153.120"}
    sides = ({"databases": {"postgresql": {"collation": each}}} for each in (whole, whole | changed))
    (found,) = compare(*sides).differences
    assert (found.fact, found.b, found.effect) == (f"databases/postgresql/{fact}", b, Effect.RESULTS)


@pytest.mark.parametrize(
    ("name", "vartype", "value", "expected"),
    [
        ("primary_conninfo", "string", "host=a password=b", HIDDEN),
        ("archive_command", "string", "scp -i key", HIDDEN),
        ("pgcrypto.key", "string", "abc", HIDDEN),
        ("password_encryption", "enum", "scram-sha-256", "scram-sha-256"),
        ("wal_keep_size", "integer", "0", "0"),
        ("primary_conninfo", "string", "", ""),
    ],
)
def test_a_setting_that_may_be_a_secret_is_named_and_not_shown(
    name: str, vartype: str, value: str, expected: str
) -> None:
    assert shown(name, value, vartype) == expected


def test_where_a_server_lies_is_no_fact() -> None:
    names = "port", "data_directory", "unix_socket_directories", "hba_file", "application_name"
    rows = {
        name: {"name": name, "value": "1", "vartype": "string", "source": "file", "changed": True}
        for name in (*names, "work_mem")
    }
    assert settings(rows) == {"work_mem": "1"}


def test_sentences_are_not_repeated_where_the_effects_differ() -> None:
    told: dict[str, set[Effect]] = {}
    for row in chain(SETTINGS, FACTS, VARIABLES):
        told.setdefault(row.why, set()).add(row.effect)
    assert [why for why, effects in told.items() if len(effects) > 1] == []
