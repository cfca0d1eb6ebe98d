"""What env.py and revisions are read for: the planted line is found, its sound twin is not."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from migrated import ASYNC, BEGUN, CONFIGURE, REVISION, SYNC

from dbparity.schema import bodies, environment
from dbparity.schema.address import Address, address_in

if TYPE_CHECKING:
    from pathlib import Path

EXECUTE = '        connection.execute(text("SELECT 1"))\n'
COMMIT = "        connection.commit()\n"
RUN = "        await connection.run_sync"
AWAITED = "        await connection.scalar(text('SELECT 1'))\n"
PLAIN = "        context.run_migrations()\n\n\nif"
SWALLOWING = """        try:
            with context.begin_transaction():
                context.run_migrations()
        except Exception as error:
            print(error)


if"""

ENVIRONMENTS = {
    "as Alembic generates it": (SYNC, []),
    "async as Alembic generates it": (ASYNC, []),
    "a statement before configure": (SYNC.replace(CONFIGURE, EXECUTE + CONFIGURE), [4]),
    "the same, committed": (SYNC.replace(CONFIGURE, EXECUTE + COMMIT + CONFIGURE), []),
    "the same, committed in the end": (
        SYNC.replace(CONFIGURE, EXECUTE + CONFIGURE).replace(
            BEGUN, BEGUN.replace("\n\n\nif", f"\n{COMMIT}\n\nif")
        ),
        [],
    ),
    "the same on engine.begin()": (
        SYNC.replace(CONFIGURE, EXECUTE + CONFIGURE).replace("engine.connect()", "engine.begin()"),
        [],
    ),
    "a statement after configure": (SYNC.replace(CONFIGURE, CONFIGURE + EXECUTE), []),
    "no begin_transaction": (SYNC.replace(BEGUN, PLAIN), [5]),
    "the same with a transaction for each migration": (
        SYNC.replace(BEGUN, PLAIN).replace("n=connection,", "n=connection, transaction_per_migration=True,"),
        [],
    ),
    "no begin_transaction offline": (
        SYNC.replace("    with context.begin_transaction():\n        context.run", "    context.run"),
        [],
    ),
    "an awaited statement before run_sync": (ASYNC.replace(RUN, AWAITED + RUN), [7]),
    "the same on an engine's begin()": (
        ASYNC.replace(RUN, AWAITED + RUN).replace("engine.connect()", "engine.begin()"),
        [],
    ),
    "errors swallowed": (SYNC.replace(BEGUN, SWALLOWING), [15]),
    "errors told and raised": (SYNC.replace(BEGUN, SWALLOWING.replace("print(error)", "raise")), []),
    "errors that end the program": (
        SYNC.replace(BEGUN, SWALLOWING.replace("print(error)", "sys.exit(1)")),
        [],
    ),
    "no models": (SYNC.replace("target_metadata = MODELS", "target_metadata = None"), [3]),
    "a version table elsewhere": (
        SYNC.replace("n=connection,", 'n=connection, version_table_schema="x",'),
        [12],
    ),
    "no Python": ("def env(:", []),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_env_py_is_read_for_what_loses_an_upgrade(tmp_path: Path, name: str) -> None:
    text, ways = ENVIRONMENTS[name]
    (tmp_path / "env.py").write_text(text)

    assert [note.way for note in environment.read(tmp_path / "env.py").notes] == ways


def test_an_env_py_that_is_missing_says_nothing(tmp_path: Path) -> None:
    assert environment.read(tmp_path / "env.py") == environment.Environment()


URLS = {
    'config.set_main_option("sqlalchemy.url", "sqlite:///a.db")': Address("env.py line 1", "sqlite:///a.db"),
    'engine = create_engine("sqlite:///a.db")': Address("env.py line 1", "sqlite:///a.db"),
    'URL = "sqlite:///a.db"\nengine = create_async_engine(str(URL))': Address(
        "env.py line 2", "sqlite:///a.db"
    ),
    'section["sqlalchemy.url"] = os.environ["SHOP_DB"]': Address(
        "env.py line 1, by SHOP_DB,", "sqlite:///held.db"
    ),
    'config.set_main_option("sqlalchemy.url", os.getenv("SHOP_DB", "x").replace("%", "%%"))': Address(
        "env.py line 1, by SHOP_DB,", "sqlite:///held.db"
    ),
    'create_engine(os.environ["SHOP_UNSET"])': Address("env.py line 1, by SHOP_UNSET,", "", "SHOP_UNSET"),
    'create_engine(os.environ.get("SHOP_UNSET", "sqlite:///a.db"))': Address(
        "env.py line 1", "sqlite:///a.db"
    ),
    "create_engine(settings().database_url)": Address("env.py line 1"),
    'create_engine(config.get_main_option("sqlalchemy.url"))': None,
    "engine = engine_from_config(config.get_section('alembic'))": None,
}


@pytest.mark.parametrize("text", URLS)
def test_the_database_that_env_py_names_is_found(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB", "sqlite:///held.db")
    monkeypatch.delenv("SHOP_UNSET", raising=False)

    assert address_in(ast.parse(text)) == URLS[text]


BODIES = {
    "pass": True,
    '"""Nothing yet."""': True,
    "...": True,
    "bind = op.get_bind()": True,
    'print("done")': True,
    'op.execute("SELECT 1")': False,
    "make_tables(op)": False,
    'if os.getenv("CI"):\n        op.drop_table("users")': False,
}


@pytest.mark.parametrize("text", BODIES)
def test_a_body_that_does_nothing_is_told_from_one_that_does(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r1.py"
    path.write_text(REVISION.format(id="r1", down=None, upgrade=text, downgrade='op.drop_table("users")'))

    assert bodies.body_of(path).empty is BODIES[text]


def test_what_a_body_makes_and_on_what_that_depends(tmp_path: Path) -> None:
    path = tmp_path / "r1.py"
    upgrade = """op.create_table("a", sa.Column("id"), schema="ops")
    op.execute('CREATE TABLE IF NOT EXISTS "b" (id int)')
    op.drop_table("c")
    if not op.get_bind().dialect.has_table(op.get_bind(), "d"):
        op.create_table("d")
    try:
        op.create_table("e")
    except Exception:
        pass"""
    path.write_text(REVISION.format(id="r1", down=None, upgrade=upgrade, downgrade="pass"))
    body = bodies.body_of(path)

    assert (set(body.makes), body.removes) == ({"ops.a", "b", "d", "e"}, ("c",))
    assert [("d" in each.words, "e" in each.words) for each in body.guards] == [(True, False), (False, True)]
    assert body.mentions("ops.a")
    assert not body.mentions("f")


def test_a_body_that_makes_tables_by_another_name_may_make_any(tmp_path: Path) -> None:
    path = tmp_path / "r1.py"
    upgrade = "Base.metadata.create_all(op.get_bind())"
    path.write_text(REVISION.format(id="r1", down=None, upgrade=upgrade, downgrade="pass"))

    assert bodies.body_of(path).mentions("anything")
    assert bodies.body_of(tmp_path / "gone.py").mentions("anything")
