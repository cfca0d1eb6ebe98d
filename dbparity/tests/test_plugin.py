"""The plugin in a project: what it is told by markers, options and fixtures, and what it says of itself."""

from __future__ import annotations

import pytest
from inner import project, run

LAYERED = """
import pytest
from shop import Customer, engine, register
from sqlalchemy import func, select
from sqlalchemy.orm import Session

NUMBER = select(func.count()).select_from(Customer)

def count():
    with Session(engine) as session:
        return session.scalar(NUMBER)
"""


def written(pytester: pytest.Pytester, tests: str, config: str = "", **files: str) -> None:
    project(
        pytester.path,
        f"sqlite:///{pytester.path}/shop_test.db",
        config,
        test_it=f"{LAYERED}\n{tests}",
        **files,
    )


ISOLATED = """
@pytest.fixture
def isolation(request):
    from dbparity.plugin.run import run_of
    return run_of(request.config).watch.test.isolation

def test_default(isolation):
    assert isolation.name == "{default}"
    register("Ann")
    assert count() == 1

@pytest.mark.dbparity(isolation="savepoint")
def test_savepoint(isolation):
    assert isolation.name == "savepoint"
    assert count() == 0
    register("Ann")

@pytest.mark.dbparity(isolation="delete")
def test_delete(isolation):
    assert isolation.name == "delete"
    assert count() == 0
    register("Ann")

@pytest.mark.dbparity(isolation="clone")
class TestClone:
    def test_first(self, isolation):
        assert isolation.name == "clone"
        assert count() == 0
        register("Ann")

    def test_second(self, isolation):
        assert isolation.name == "clone"
        assert count() == 0

    @pytest.mark.dbparity(isolation="savepoint")
    def test_the_nearest_marker_says_it(self, isolation):
        assert isolation.name == "savepoint"

def test_last():
    assert count() == 0
"""


@pytest.mark.parametrize("default", ["savepoint", "delete", "clone"])
def test_each_test_is_isolated_as_its_marker_says_and_the_others_as_configured(
    pytester: pytest.Pytester, default: str
) -> None:
    written(pytester, ISOLATED.replace("{default}", default))
    run(pytester, f"--dbparity-isolation={default}").assert_outcomes(passed=7)


def test_a_clone_a_module_lasts_for_the_module(pytester: pytest.Pytester) -> None:
    marked = f'{LAYERED}\npytestmark = pytest.mark.dbparity(isolation="clone", scope="module")\n'
    project(
        pytester.path,
        f"sqlite:///{pytester.path}/shop_test.db",
        test_a=f"{marked}\ndef test_one():\n    register('Ann')\n\ndef test_two():\n    assert count() == 1\n",
        test_b=f"{marked}\ndef test_three():\n    assert count() == 0\n",
    )
    run(pytester).assert_outcomes(passed=3)


NUMBERED = """
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customers"
    __table_args__ = {"sqlite_autoincrement": True}
    id: Mapped[int] = mapped_column(primary_key=True)

engine = create_engine("{url}")

def register(_):
    with Session(engine) as session, session.begin():
        customer = Customer()
        session.add(customer)
        session.flush()
        return customer.id
"""
NUMBERS = """
@pytest.mark.dbparity(isolation="delete")
def test_first():
    assert register("Ann") == 1

@pytest.mark.dbparity(isolation="delete")
def test_second():
    assert register("Bob") == 2

@pytest.mark.dbparity(isolation="delete", reset_sequences=True)
def test_third():
    assert register("Eve") == 1
"""


def test_sequences_begin_anew_for_a_test_whose_marker_asks_for_it(pytester: pytest.Pytester) -> None:
    written(pytester, NUMBERS, shop=NUMBERED)
    run(pytester).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        (
            "isolation='sandbox'",
            "There is no isolation 'sandbox' for a test: it can be savepoint, delete, clone.",
        ),
        ("'clone'", "@pytest.mark.dbparity takes names: isolation='clone'."),
        ("isolation='clone', scope='class'", "*does not know scope='class' with clone isolation."),
        ("scope='module'", "*does not know scope='module' with savepoint isolation."),
        ("reset_sequence=True", "*does not know reset_sequence=True with savepoint isolation."),
    ],
)
def test_what_a_marker_cannot_say_is_named_without_a_traceback(
    pytester: pytest.Pytester, marker: str, said: str
) -> None:
    written(
        pytester,
        f"@pytest.mark.dbparity({marker})\ndef test_it():\n    pass\n\ndef test_other():\n    pass\n",
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", said])
    assert "databases.py" not in result.stdout.str()


def test_markers_are_registered_and_options_explained(pytester: pytest.Pytester) -> None:
    written(pytester, "")
    run(pytester, "--markers").stdout.fnmatch_lines(
        ["@pytest.mark.ci_sensitive(reason)*", "@pytest.mark.dbparity(isolation=*"]
    )
    run(pytester, "--help").stdout.fnmatch_lines(["*--dbparity-isolation=*", "*--dbparity-timeline*"])
    run(pytester, "--fixtures").stdout.fnmatch_lines(["committed -- *", "*real*committed*"])
    assert not (pytester.path / "shop_test.db").exists()


def test_the_header_says_what_is_configured_and_what_was_guessed(pytester: pytest.Pytester) -> None:
    written(pytester, "def test_it():\n    pass\n")
    result = run(pytester, "--dbparity-isolation=clone")
    result.stdout.fnmatch_lines(
        [
            f"dbparity: database {pytester.path}/shop_test.db, schema create, isolation clone",
            "collected 1 item",
        ]
    )
    assert "dbparity: guessed" not in result.stdout.str()


PARAMETRISED = """
import pytest
from shop import Base

@pytest.fixture(scope="session", params=["one", "two"])
def dbparity_database_url(request, tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('base')}/{request.param}_test.db"
"""
ASKING = """
def test_asks(database_url, db_session):
    assert "_test.db" in database_url
    db_session.add(Customer(name="Ann"))
    db_session.commit()
    assert db_session.scalar(NUMBER) == 1

def test_asks_again(committed):
    committed.assert_state(customers=0)

def test_asks_for_nothing():
    pass
"""


def without_url(pytester: pytest.Pytester) -> None:
    path = pytester.path / "pyproject.toml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("database_url")]
    path.write_text("\n".join(kept))


def test_tests_that_ask_run_on_each_database_that_a_conftest_gives(pytester: pytest.Pytester) -> None:
    written(pytester, ASKING)
    without_url(pytester)
    (pytester.path / "conftest.py").write_text(PARAMETRISED)
    result = run(pytester, "-v")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        [
            "dbparity: database given by a fixture, schema create, isolation savepoint",
            "*::test_asks?two? PASSED*",
        ]
    )


OVERRIDING = """
import pytest
import shop

@pytest.fixture(scope="session")
def dbparity_database_url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('base')}/other_test.db"

@pytest.fixture(scope="session")
def dbparity_metadata():
    return shop.Base.metadata

@pytest.fixture(scope="session")
def dbparity_schema():
    return "create"

@pytest.fixture(scope="session")
def dbparity_isolation():
    return "clone"

@pytest.fixture(scope="session")
def dbparity_sessionmaker():
    return shop.Sessions
"""


def test_each_key_can_be_a_fixture_of_the_project(pytester: pytest.Pytester) -> None:
    tests = """
def test_it(database_url, db_session, request):
    from dbparity.plugin.run import run_of
    assert run_of(request.config).watch.test.isolation.name == "clone"
    assert "other_test" in str(run_of(request.config).watch.test.database.base)
"""
    written(pytester, tests)
    (pytester.path / "pyproject.toml").write_text(
        "[tool.dbparity]\n[tool.pytest.ini_options]\npythonpath='.'\n"
    )
    (pytester.path / "conftest.py").write_text(OVERRIDING)
    run(pytester).assert_outcomes(passed=1)


def test_a_database_that_nobody_has_configured_is_an_error_of_the_tests_that_want_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    written(pytester, "def test_asks(committed):\n    pass\n\ndef test_other():\n    pass\n")
    without_url(pytester)
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["No database is configured: set database_url in [[]tool.dbparity[]], or *"])
