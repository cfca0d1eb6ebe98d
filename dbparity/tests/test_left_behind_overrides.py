"""Overrides and `app.state` that a test leaves behind: met at the request that they answer, by name and line."""

from __future__ import annotations

import asyncio
import copy
import pickle
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from left_behind import Suite, suite
from starlette.datastructures import State

from dbparity.watch import RunningTest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

Overrides = dict[Any, Any]


def get_current_user() -> str:
    return "nobody"


def get_database() -> str:
    return "database"


def fake_user() -> str:
    return "somebody"


User = Annotated[str, Depends(get_current_user)]
Database = Annotated[str, Depends(get_database)]


@pytest.fixture
def app() -> FastAPI:
    """Made before the detector starts, as an application that a conftest imports is."""
    return application()


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    def me(user: User, database: Database) -> list[str]:
        return [user, database]

    @app.get("/state")
    def state(request: Request) -> Any:
        return getattr(request.app.state, "greeting", None)

    return app


@pytest.fixture
def running(app: FastAPI) -> Iterator[Suite]:
    with suite() as running:
        yield running


def log_in(app: FastAPI) -> None:
    app.dependency_overrides[get_current_user] = fake_user


def me(app: FastAPI) -> list[str]:
    answer: list[str] = TestClient(app).get("/me").json()
    return answer


def test_the_founding_incident_is_told_in_one_sentence(app: FastAPI, running: Suite) -> None:
    with running.test("tests/test_smoke.py::test_a", "client"):
        with running.fixture("client", "session"):
            app.dependency_overrides[get_current_user] = fake_user
        assert me(app) == ["somebody", "database"]
    assert not running.findings
    with running.test("tests/test_api.py::test_b"):
        assert me(app) == ["somebody", "database"]
    (found,) = running.findings
    assert found.detector == "left-behind"
    assert found.test == "tests/test_api.py::test_b"
    assert "override of get_current_user, set by the session-scoped fixture `client` (" in found.message
    assert "test_left_behind_overrides.py:" in found.message
    assert found.message.endswith(
        " during tests/test_smoke.py::test_a, is in force in tests/test_api.py::test_b."
    )
    assert "answered by fake_user" in found.evidence[0]
    assert found.evidence[1] == "met in request 1 (GET /me)"


def test_the_line_named_is_the_one_that_set_it(app: FastAPI, running: Suite) -> None:
    with running.test("test_a"):
        app.dependency_overrides[get_current_user] = fake_user
        code = test_the_line_named_is_the_one_that_set_it.__code__
        line = code.co_firstlineno + 2
    with running.test("test_b"):
        me(app)
    assert f"test_left_behind_overrides.py:{line} in test_the_line_named" in running.messages[0]


def test_tests_that_ask_for_the_shared_fixture_are_meant(app: FastAPI, running: Suite) -> None:
    with running.test("test_a", "client"), running.fixture("client", "module"):
        app.dependency_overrides[get_current_user] = fake_user
    with running.test("test_b", "client", "other"):
        assert me(app)[0] == "somebody"
    assert not running.findings


def test_a_fixture_of_the_same_name_elsewhere_is_another(app: FastAPI, running: Suite) -> None:
    with running.test("tests/a/test_a.py::test_a", "client"), running.fixture("client", "session", "tests/a"):
        app.dependency_overrides[get_current_user] = fake_user
    with running.test("tests/a/test_b.py::test_b", "client"):
        me(app)
    assert not running.findings
    with running.test("tests/ab/test_c.py::test_c", "client"):
        me(app)
    assert len(running.findings) == 1


def test_what_is_removed_in_time_was_never_there(app: FastAPI, running: Suite) -> None:
    with running.test("test_a"):
        app.dependency_overrides[get_current_user] = fake_user
        assert me(app)[0] == "somebody"
        app.dependency_overrides.clear()
    with running.test("test_b"), pytest.MonkeyPatch.context() as patch:
        patch.setitem(app.dependency_overrides, get_current_user, fake_user)
        assert me(app)[0] == "somebody"
    with running.test("test_c"):
        app.dependency_overrides = {get_current_user: fake_user}
        assert me(app)[0] == "somebody"
        app.dependency_overrides = {}
    with running.test("test_d"):
        assert me(app) == ["nobody", "database"]
    assert not running.findings


def test_setting_the_same_override_oneself_is_no_finding(app: FastAPI, running: Suite) -> None:
    for name in ("test_a", "test_b", "test_c"):
        with running.test(name):
            app.dependency_overrides[get_current_user] = fake_user
            me(app)
    assert not running.findings
    with running.test("test_d"):
        app.dependency_overrides[get_database] = fake_user
        me(app)
    assert [each.partition(",")[0] for each in running.messages] == ["override of get_current_user"]


def test_an_override_that_nothing_asks_for_changes_nothing(app: FastAPI, running: Suite) -> None:
    with running.test("test_a"):
        app.dependency_overrides[fake_user] = get_database
    with running.test("test_b") as test:
        me(app)
    assert not running.findings
    assert not test.notes.get("left-behind")


def test_what_is_left_is_noted_with_its_test(app: FastAPI, running: Suite) -> None:
    with running.test("test_a") as test:
        app.dependency_overrides[get_current_user] = fake_user
    (left,) = test.notes["left-behind"]
    assert left.startswith("override of get_current_user, set by test_a (")


def test_one_that_is_left_is_reported_once(app: FastAPI, running: Suite) -> None:
    with running.test("test_a"):
        app.dependency_overrides[get_current_user] = fake_user
    for name in ("test_b", "test_c"):
        with running.test(name):
            me(app)
            me(app)
    assert len(running.findings) == 1


def test_an_async_client_meets_it_too(app: FastAPI, running: Suite) -> None:
    async def ask() -> None:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/me")).json()[0] == "somebody"

    with running.test("test_a"):
        app.dependency_overrides = {get_current_user: fake_user}
    with running.test("test_b"):
        asyncio.run(ask())
    assert "set by test_a (" in running.messages[0]


def test_a_shared_fixtures_override_that_another_test_removed_is_missed(app: FastAPI, running: Suite) -> None:
    with running.test("test_a", "client"), running.fixture("client", "session"):
        log_in(app)
    with running.test("test_b"):
        app.dependency_overrides.clear()
    with running.test("test_c", "client"):
        assert me(app)[0] == "nobody"
    (message,) = running.messages
    assert "set by the session-scoped fixture `client`" in message
    assert "was removed by test_b (" in message
    assert message.endswith(": test_c runs without it.")


def test_saving_clearing_and_restoring_leaves_the_shared_fixture_its_override(
    app: FastAPI, running: Suite
) -> None:
    with running.test("test_a", "client"), running.fixture("client", "session"):
        log_in(app)
    with running.test("test_b"):
        saved = dict(app.dependency_overrides)
        app.dependency_overrides.clear()
        assert me(app)[0] == "nobody"
        app.dependency_overrides.update(saved)
    with running.test("test_c", "client"):
        assert me(app)[0] == "somebody"
    assert not running.findings


def test_a_fixture_that_is_torn_down_is_not_missed(app: FastAPI, running: Suite) -> None:
    with running.test("test_a", "client"):
        with running.fixture("client", "module"):
            app.dependency_overrides[get_current_user] = fake_user
        app.dependency_overrides.clear()
        running.watch.fixture_finalized("client", "module")
    with running.test("test_b", "client"):
        me(app)
    assert not running.findings


def test_what_the_application_sets_as_it_is_made_is_its_own(running: Suite) -> None:
    def create_app() -> FastAPI:
        app = application()
        app.state.greeting = "hello"
        return app

    def create_in_place() -> FastAPI:
        app = FastAPI()
        app.dependency_overrides[get_current_user] = fake_user
        app.state.greeting = "hello"
        return app

    with running.test("test_a"):
        factory_made, made_in_place = create_app(), create_in_place()
    with running.test("test_b"):
        assert made_in_place.state.greeting == "hello"
    assert not running.findings
    with running.test("test_c"):
        assert factory_made.state.greeting == "hello"
    assert len(running.findings) == 1  # application() made it: create_app() changed it afterwards


def test_the_users_dict_stays_the_users(app: FastAPI, running: Suite) -> None:
    mine: Overrides = {}
    with running.test("test_a"):
        app.dependency_overrides = mine
        app.dependency_overrides[get_current_user] = fake_user
        assert mine == {get_current_user: fake_user} == app.dependency_overrides
        mine[get_database] = fake_user
        assert me(app) == ["somebody", "somebody"]
        assert app.dependency_overrides.pop(get_database) is fake_user
        assert mine == {get_current_user: fake_user}
        assert isinstance(app.dependency_overrides, dict)
        assert type(copy.deepcopy(app.dependency_overrides)) is dict
    running.watch.stop()
    assert app.dependency_overrides is mine
    assert "dependency_overrides" not in vars(FastAPI)
    running.watch.start()


def test_the_watched_dict_is_a_dict(app: FastAPI, running: Suite) -> None:
    def both(change: Callable[[Overrides], Any]) -> None:
        assert change(app.dependency_overrides) == change(model)
        assert app.dependency_overrides == model == app.__dict__["dependency_overrides"]
        assert list(app.dependency_overrides) == list(model)

    model: Overrides = {}
    with running.test("test_a"):
        both(lambda it: it.setdefault(get_database, fake_user))
        both(lambda it: it.setdefault(get_database, get_current_user))
        both(lambda it: it.update({get_current_user: fake_user}))
        both(lambda it: it.update(named=fake_user))
        both(lambda it: it.__ior__({fake_user: get_database}))
        both(lambda it: (it.pop("named"), it.pop("named", 3), it.get("named"), "named" in it))
        both(lambda it: it.popitem())
        both(lambda it: (it | {1: 2}, it.copy(), bool(it), len(it), repr(it)))
        both(lambda it: pickle.loads(pickle.dumps(it)))  # noqa: S301 - our own
        for wrong in ("pop", "__getitem__", "__delitem__"):
            with pytest.raises(KeyError):
                getattr(app.dependency_overrides, wrong)("nobody")
        both(lambda it: it.clear())
        with pytest.raises(KeyError):
            app.dependency_overrides.popitem()
    with running.test("test_b") as test:
        me(app)
    assert not running.findings
    assert not test.notes.get("left-behind")


def test_application_state_that_another_test_left_is_met_where_it_is_read(
    app: FastAPI, running: Suite
) -> None:
    with running.test("test_a"):
        app.state.greeting = "hello"
    with running.test("test_b"):
        assert TestClient(app).get("/state").json() == "hello"
    (found,) = running.findings
    assert found.message.startswith("app.state.greeting, set by test_a (")
    assert found.message.endswith(", is in force in test_b.")
    assert "hello" not in found.render()


def test_a_lifespan_serves_its_own_span(running: Suite) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.greeting = "hello"
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/greeting")
    def greeting(request: Request) -> Any:
        return request.app.state.greeting

    for name in ("test_a", "test_b"):
        with running.test(name), TestClient(app) as client:
            assert client.get("/greeting").json() == "hello"
    assert not running.findings
    with running.test("test_c"):
        assert TestClient(app).get("/greeting").json() == "hello"
    assert "app.state.greeting, set by test_b" in running.messages[0]


def test_state_that_is_put_back_is_no_finding(app: FastAPI, running: Suite) -> None:
    app.state.greeting = "before"
    with running.test("test_a"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "state", State({"greeting": "patched"}))
        assert app.state.greeting == "patched"
    with running.test("test_b"):
        greeting = app.state.greeting
        app.state.greeting = "patched"
        app.state.greeting = greeting
    with running.test("test_c"):
        assert app.state.greeting == "before"
    assert not running.findings


def test_what_a_teardown_reads_no_test_has_seen(app: FastAPI, running: Suite) -> None:
    with running.test("test_a", "client"), running.fixture("client", "session"):
        app.state.greeting = "hello"
    running.watch.begin_test(RunningTest("test_b"))
    running.watch.test_called()
    assert app.state.greeting == "hello"
    running.watch.end_test()
    assert not running.findings
