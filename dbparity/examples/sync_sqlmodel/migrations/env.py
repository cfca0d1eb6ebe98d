"""How Alembic reaches the shop's database."""

from alembic import context
from shop.database import engine
from shop.models import SQLModel

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata)
    with context.begin_transaction():
        context.run_migrations()
