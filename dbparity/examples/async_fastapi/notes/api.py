"""The API. Each request has a session of its own, and commits before it answers."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from notes.database import sessions
from notes.models import Note, Owner


class Written(BaseModel):
    """A note to be kept."""

    owner: str
    text: str


async def session() -> AsyncIterator[AsyncSession]:
    """A session a request."""
    async with sessions() as opened:
        yield opened


Db = Annotated[AsyncSession, Depends(session, scope="function")]

app = FastAPI()


@app.post("/notes", status_code=201)
async def write(note: Written, db: Db) -> dict[str, int]:
    """Keep a note; its owner is made with the first one."""
    owner = await db.scalar(select(Owner).where(Owner.name == note.owner))
    if owner is None:
        owner = Owner(name=note.owner)
        db.add(owner)
        await db.flush()
    kept = Note(owner_id=owner.id, text=note.text)
    db.add(kept)
    await db.commit()
    return {"id": kept.id}


@app.get("/notes/{number}")
async def read(number: int, db: Db) -> Written:
    """Show a note."""
    found = (await db.execute(select(Note, Owner).join(Owner).where(Note.id == number))).one_or_none()
    if found is None:
        raise HTTPException(404, "No such note.")
    note, owner = found
    return Written(owner=owner.name, text=note.text)
