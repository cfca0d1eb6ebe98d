"""What the shop keeps."""

from sqlmodel import Field, SQLModel

__all__ = ["Item", "SQLModel"]


class Item(SQLModel, table=True):
    """Something for sale."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True, unique=True)
    stock: int
