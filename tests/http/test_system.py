"""The service about itself: alive, ready only when it can work, its keys, and its documentation without a network."""

import re
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from dashtam import __version__
from dashtam.core.service import Service
from dashtam.core.tables import Table
from dashtam.features import api_docs, system
from tests.http.small_app import calling, made_app, made_settings, run

PROD = {
    "environment": "prod",
    "public_url": "https://testserver",
    "mail_transport": "smtp",
    "smtp_url": "smtp://127.0.0.1:2525",
}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """The small application with the system's routes, on a database that is still empty."""
    return made_app(made_settings(tmp_path), roots=(system.router, api_docs.router))


async def make_ready(app: FastAPI) -> None:
    service: Service = app.state.service
    async with service.database.writer.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)
    await service.keys.load(service.database, service.clock.now())


def reason_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":not-ready")
    assert "retry-after" in answer.headers
    return str(answer.json()["detail"])


async def test_health_says_what_runs_except_in_prod(app: FastAPI, tmp_path: Path) -> None:
    async with calling(app) as client:
        body = (await client.get("/health")).json()
        assert body == {"status": "healthy", "version": __version__, "environment": "test"}
    async with calling(
        made_app(made_settings(tmp_path, **PROD), roots=(system.router, api_docs.router))
    ) as client:
        assert (await client.get("/health")).json() == {"status": "healthy"}


async def test_a_service_that_is_not_ready_is_alive(app: FastAPI) -> None:
    async with calling(app) as client:
        assert (await client.get("/health/live")).json() == {"status": "healthy"}
        assert "7 tables missing" in reason_of(await client.get("/health/ready"))


async def test_it_is_ready_once_tables_and_keys_are_there(app: FastAPI) -> None:
    async with calling(app) as client:
        reason_of(await client.get("/health/ready"))
        await make_ready(app)
        answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_tables_without_keys_are_not_enough(app: FastAPI) -> None:
    await make_ready(app)
    app.state.service.keys.loaded_at = None
    async with calling(app) as client:
        assert "signing keys" in reason_of(await client.get("/health/ready"))


async def test_one_missing_column_is_not_ready_and_is_named(app: FastAPI) -> None:
    await make_ready(app)
    async with app.state.service.database.write() as db:
        await run(db, "ALTER TABLE users DROP COLUMN name")
    async with calling(app) as client:
        assert "users.name" in reason_of(await client.get("/health/ready"))


async def test_tables_are_not_named_to_strangers_in_prod(tmp_path: Path) -> None:
    async with calling(
        made_app(made_settings(tmp_path, **PROD), roots=(system.router, api_docs.router))
    ) as client:
        reason = reason_of(await client.get("/health/ready"))
    assert "users" not in reason
    assert "dashtam migrate up" in reason


async def test_a_database_that_cannot_be_reached_is_not_ready_and_not_described(tmp_path: Path) -> None:
    url = "postgresql://someone:pa55word@127.0.0.1:1/nowhere"
    async with calling(
        made_app(made_settings(tmp_path, database_url=url), roots=(system.router, api_docs.router))
    ) as client:
        answer = await client.get("/health/ready")
    assert reason_of(answer) == "The database cannot be used now; the log says why."


async def test_keys_are_public_and_may_be_kept_for_a_while(app: FastAPI) -> None:
    await make_ready(app)
    async with calling(app) as client:
        answer = await client.get("/.well-known/jwks.json")
    (key,) = answer.json()["keys"]
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert {"kty", "kid", "alg", "use"} <= key.keys()
    assert "d" not in key


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_need_nothing_from_elsewhere(app: FastAPI, page: str) -> None:
    async with calling(app) as client:
        answer = await client.get(page)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "http" not in policy
        assert not re.search(r"//|<script>|<style", answer.text.replace("<!doctype", ""))
        links = re.findall(r'(?:src|href)="(/[^"]+)"', answer.text)
        assert len(links) >= 4
        for link in links:
            linked = await client.get(link)
            assert linked.status_code == 200
            assert linked.headers["x-content-type-options"] == "nosniff"
            assert len(linked.content) > 50


async def test_the_pages_show_the_document_that_is_served(app: FastAPI) -> None:
    async with calling(app) as client:
        pages = [(await client.get(page)).text for page in ("/docs", "/redoc")]
        document = (await client.get("/openapi.json")).json()
    assert all('data-openapi="/openapi.json"' in page for page in pages)
    assert {"/api/things", "/health/ready", "/.well-known/jwks.json"} <= document["paths"].keys()
    assert "/docs" not in document["paths"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2f__init__.py", "%2e%2e", "swagger-ui.css%00"])
async def test_only_the_listed_assets_are_served(app: FastAPI, name: str) -> None:
    async with calling(app) as client:
        assert (await client.get(f"/docs/assets/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/assets/swagger-ui.css"])
async def test_documentation_is_off_in_prod_unless_asked_for(tmp_path: Path, path: str) -> None:
    async with calling(
        made_app(made_settings(tmp_path, **PROD), roots=(system.router, api_docs.router))
    ) as client:
        assert (await client.get(path)).status_code == 404
    async with calling(
        made_app(made_settings(tmp_path, **PROD, api_docs=True), roots=(system.router, api_docs.router))
    ) as client:
        assert (await client.get(path)).status_code == 200
