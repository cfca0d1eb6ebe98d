"""The tests, each on an event loop of its own."""

import httpx2
import pytest
from notes.api import app
from notes.models import Note, Owner


@pytest.fixture
async def client():
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_note_is_kept_with_its_owner(client, committed):
    with committed.expect(notes=+1, owners=+1):
        answer = await client.post("/notes", json={"owner": "ada", "text": "on engines"})
    assert answer.status_code == 201
    assert committed.one(Note)["text"] == "on engines"


async def test_an_owner_is_made_once(client, committed):
    await client.post("/notes", json={"owner": "ada", "text": "one"})
    await client.post("/notes", json={"owner": "ada", "text": "two"})
    committed.assert_state(Owner=1, Note=2)


async def test_a_note_is_shown(client, async_db_session):
    owner = Owner(name="ada")
    async_db_session.add(owner)
    await async_db_session.flush()
    note = Note(owner_id=owner.id, text="kept by the test")
    async_db_session.add(note)
    await async_db_session.commit()
    assert (await client.get(f"/notes/{note.id}")).json() == {"owner": "ada", "text": "kept by the test"}


async def test_a_number_that_nobody_has_is_not_found(client):
    assert (await client.get("/notes/1")).status_code == 404
