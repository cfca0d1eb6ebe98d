"""The same tests under savepoint and under real commits: what differs is found, and explained by what was seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inner import ASYNC_SHOP, QUICK, project

from dbparity.cli import main
from dbparity.crosscheck.rendering import rendered
from dbparity.crosscheck.runs import Asked, RunError, crosscheck

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.crosscheck.comparison import Comparison, Difference
    from dbparity.testing.postgres import PrivateCluster

IMPORTS = """
import psycopg, pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from shop import Customer, Order, Sessions, register
"""

CLOCK = """
def test_newer_customers_have_later_times():
    register("Ann"), register("Bob")
    with Sessions() as session:
        first, second = session.scalars(select(Customer.created_at).order_by(Customer.id))
    assert first < second

def test_newest_first():
    register("Ann"), register("Bob")
    with Sessions() as session:
        newest = session.scalars(select(Customer).order_by(Customer.created_at.desc(), Customer.id)).first()
        assert newest.name == "Bob"

def test_a_time_is_noted():
    register("Ann"), register("Bob")
    with Sessions() as session:
        assert None not in session.scalars(select(Customer.created_at)).all()
"""

DEFERRED = """
def order_of_somebody_uncommitted():
    with Sessions() as one, Sessions() as other:
        customer = Customer(name="Ann")
        one.add(customer)
        one.flush()
        other.add(Order(customer_id=customer.id))
        try:
            other.commit()
        finally:
            other.rollback()
            one.commit()

def test_an_order_is_taken():
    order_of_somebody_uncommitted()

def test_an_order_may_be_refused():
    try:
        order_of_somebody_uncommitted()
    except IntegrityError:
        pass

def test_an_order_of_nobody_is_refused():
    with Sessions() as session, pytest.raises(IntegrityError):
        session.add(Order(customer_id=4711))
        session.commit()
"""

SECOND = """
def count(url):
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return connection.execute("SELECT count(*) FROM customers").fetchone()[0]

def test_a_report_counts_customers(database_url):
    register("Ann")
    assert count(database_url) == 1

def test_a_report_of_nothing(database_url):
    assert count(database_url) == 0
"""

IDS = """
from shop import name_of, register

def test_somebody_comes_first():
    register("Ann")

def test_the_first_customer_is_number_one():
    assert register("Bob") == 1

def test_the_first_customer_is_found():
    register("Bob")
    assert name_of(1) == "Bob"

def test_the_customer_is_found_by_the_number_it_got():
    assert name_of(register("Bob")) == "Bob"
"""

MISSING = """
def test_another_session_finds_what_was_never_committed():
    with Sessions() as writing, Sessions() as reading:
        writing.add(Customer(name="Ann"))
        writing.flush()
        assert reading.scalar(select(func.count()).select_from(Customer)) == 1

def test_another_session_finds_what_was_committed():
    with Sessions() as writing, Sessions() as reading:
        writing.add(Customer(name="Ann"))
        writing.commit()
        assert reading.scalar(select(func.count()).select_from(Customer)) == 1
"""

CONFLICT = """
def test_one_gives_up_beside_another():
    with Sessions() as one, Sessions() as other:
        one.add(Customer(name="Ann"))
        one.flush()
        other.add(Customer(name="Bob"))
        other.flush()
        one.rollback()
        other.commit()
    with Sessions() as session:
        assert session.scalars(select(Customer.name)).all() == ["Bob"]

def test_one_gives_up_before_another_begins():
    with Sessions() as one, Sessions() as other:
        one.add(Customer(name="Ann"))
        one.flush()
        one.rollback()
        other.add(Customer(name="Bob"))
        other.commit()
    with Sessions() as session:
        assert session.scalars(select(Customer.name)).all() == ["Bob"]
"""

UNKNOWN = """
import os

def test_knows_its_isolation(dbparity_isolation, database_url):
    psycopg.connect(database_url.replace("+psycopg", "")).close()
    register("Ann"), register("Bob")
    assert dbparity_isolation != "savepoint"

def test_comes_and_goes(dbparity_isolation):
    register("Ann")
    seen = os.path.exists(dbparity_isolation)
    os.makedirs(dbparity_isolation, exist_ok=True)
    assert dbparity_isolation == "savepoint" or seen
"""


FILES = {
    "clock": CLOCK,
    "deferred": DEFERRED,
    "second": SECOND,
    "missing": MISSING,
    "conflict": CONFLICT,
    "unknown": UNKNOWN,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, cluster: PrivateCluster) -> Iterator[Path]:
    """The project on a PostgreSQL database of its own, with every planted difference and its sound twin."""
    folder = tmp_path_factory.mktemp("shop")
    with cluster.database() as url:
        project(folder, url.replace("+asyncpg", "+psycopg"))
        for name, tests in FILES.items():
            (folder / f"test_{name}.py").write_text(IMPORTS + tests)
        yield folder


@pytest.fixture(scope="module")
def found(shop: Path) -> Comparison:
    """All of it compared, once."""
    return crosscheck(Asked(["."], ("savepoint", "delete"), QUICK, seconds=120, root=shop))


def of(found: Comparison, name: str) -> dict[str, Difference]:
    """What differs in one file, by the tests' names."""
    pairs = [(each.nodeid.split("::"), each) for each in found.differences]
    return {test: each for (file, test), each in pairs if file == f"test_{name}.py"}


def kinds(found: Comparison, name: str) -> dict[str, str]:
    return {test: each.kind for test, each in of(found, name).items()}


def evidence(difference: Difference) -> str:
    return "\n".join(difference.causes[0].evidence)


def test_a_clock_that_stands_still_is_seen_where_a_test_depends_on_it(found: Comparison) -> None:
    assert kinds(found, "clock") == {
        "test_newer_customers_have_later_times": "frozen-now",
        "test_newest_first": "frozen-now",
    }
    compared, ordered = map(evidence, of(found, "clock").values())
    assert "savepoint: 2 transactions, all at 20" in compared
    assert "delete: 2 transactions, 2 different times" in compared
    assert "ORDER BY customers.created_at DESC" in ordered


def test_a_deferred_constraint_is_named_with_what_violates_it(found: Comparison) -> None:
    assert kinds(found, "deferred") == {
        "test_an_order_is_taken": "deferred-constraint",
        "test_an_order_may_be_refused": "deferred-constraint",
    }
    for each in of(found, "deferred").values():
        assert "at COMMIT: insert or update on table" in evidence(each)
        assert "INSERT INTO orders" in evidence(each)
        assert "test_deferred.py:" in evidence(each)


def test_a_second_connection_is_named_with_the_row_that_it_misses(found: Comparison) -> None:
    assert kinds(found, "second") == {"test_a_report_counts_customers": "second-connection"}
    said = evidence(of(found, "second")["test_a_report_counts_customers"])
    assert "psycopg" in said
    assert "INSERT INTO customers" in said


def test_a_commit_that_is_missing_is_named_with_both_statements(found: Comparison) -> None:
    assert kinds(found, "missing") == {
        "test_another_session_finds_what_was_never_committed": "missing-commit"
    }
    said = evidence(of(found, "missing")["test_another_session_finds_what_was_never_committed"])
    assert "written: INSERT INTO customers" in said
    assert "read:    SELECT count" in said


def test_what_one_transaction_cannot_show_is_said_in_its_own_words(found: Comparison) -> None:
    assert kinds(found, "conflict") == {"test_one_gives_up_beside_another": "isolation-conflict"}


def test_no_cause_is_invented_and_chance_is_called_chance(found: Comparison) -> None:
    assert kinds(found, "unknown") == {
        "test_knows_its_isolation": "unknown",
        "test_comes_and_goes": "unstable",
    }
    assert [each.unstable for each in of(found, "unknown").values()] == ["", "delete"]


def test_the_text_fits_a_screen(found: Comparison) -> None:
    lines = rendered(found).splitlines()

    assert (
        lines[0] == f"{found.compared} tests under savepoint and delete: {len(found.differences)} differences"
    )
    assert len(lines) < 60
    assert max(map(len, lines)) <= 116
    assert any("Because" in line for line in lines)


def test_ids_that_tests_know_beforehand_are_named_by_the_command(
    tmp_path: Path,
    cluster: PrivateCluster,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with cluster.database() as url:
        project(tmp_path, url, shop=ASYNC_SHOP, test_ids=IDS)
        status = main(["crosscheck", "test_ids.py", "--json", "--", *QUICK])
    told = json.loads(capfd.readouterr().out)

    assert (status, told["isolations"], told["compared"]) == (1, ["savepoint", "clone"], 4)
    assert [(each["nodeid"].partition("::")[2], each["kind"]) for each in told["differences"]] == [
        ("test_the_first_customer_is_number_one", "ids"),
        ("test_the_first_customer_is_found", "ids"),
    ]
    one, found = told["differences"]
    assert one["causes"][0]["evidence"][0] == "customers: id 2 under savepoint, 1 under clone"
    assert "asked for: SELECT" in found["causes"][0]["evidence"][1]
    assert (one["savepoint"]["outcome"], one["clone"]["outcome"]) == ("failed", "passed")


SOUND = """
import pytest
from shop import register

def test_sound():
    assert register("Ann")

@pytest.mark.dbparity(isolation="delete")
def test_has_an_isolation_of_its_own():
    assert register("Ann")
"""


@pytest.fixture
def small(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The project on SQLite, with a sound test and one that its marker isolates alike in both runs."""
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_shop=SOUND)
    monkeypatch.chdir(pytester.path)
    return pytester


def test_sound_tests_leave_nothing_to_say(small: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    del small

    assert main(["crosscheck", "test_shop.py", "--", *QUICK]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "1 test under savepoint and clone: no difference",
        "",
        "1 not compared: isolated alike in both runs, by their markers.",
    ]


def test_a_selection_without_tests_ends_as_pytest_would(
    small: pytest.Pytester, capfd: pytest.CaptureFixture[str]
) -> None:
    del small

    assert main(["crosscheck", "test_shop.py", "--", "-k", "nothing", *QUICK]) == 5
    assert "No test ran" in capfd.readouterr().err


def test_what_pytest_refuses_is_shown(small: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    del small

    assert main(["crosscheck", "test_gone.py", "--", *QUICK]) == 2
    assert "test_gone.py" in capfd.readouterr().err


def test_isolations_that_do_not_commit_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crosscheck", "test_x.py", "--under", "delete,savepoint"]) == 2
    assert "write savepoint,clone or savepoint,delete" in capsys.readouterr().err


def test_tests_without_a_database_of_ours_are_no_comparison(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_plain="def test_plain():\n    pass\n")

    with pytest.raises(RunError, match="no database of dbparity"):
        crosscheck(Asked(["test_plain.py"], ("savepoint", "clone"), QUICK, seconds=60, root=pytester.path))


def test_a_run_that_hangs_is_ended(small: pytest.Pytester) -> None:
    small.makepyfile(test_slow="import threading\ndef test_slow():\n    threading.Event().wait()\n")

    with pytest.raises(RunError, match=r"more than 2 s \(--timeout\)"):
        crosscheck(Asked(["test_slow.py"], ("savepoint", "clone"), QUICK, seconds=2, root=small.path))
