"""The shop's API. Each request has a session of its own."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from shop.database import engine
from shop.models import Item


def session() -> Iterator[Session]:
    """A session a request."""
    with Session(engine) as opened:
        yield opened


Db = Annotated[Session, Depends(session, scope="function")]

app = FastAPI()


@app.post("/items", status_code=201)
def add(item: Item, db: Db) -> Item:
    """Offer something new."""
    db.add(item)
    try:
        db.commit()
    except IntegrityError:
        db.rollback()
        raise HTTPException(409, "There is an item of that name.") from None
    db.refresh(item)
    return item


@app.post("/items/{name}/sell")
def sell(name: str, db: Db) -> Item:
    """Hand one out."""
    item = db.exec(select(Item).where(Item.name == name)).one_or_none()
    if item is None or item.stock == 0:
        raise HTTPException(404, "Not in stock.")
    item.stock -= 1
    db.commit()
    db.refresh(item)
    return item
