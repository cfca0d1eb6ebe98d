"""What Alembic runs to reach the database: always a connection that is handed in, with its transaction open.

The transaction belongs to `dashtam.migrations`, which commits it. Alembic finds it open and adds none of its
own; an environment that opened a connection here and ran a statement before `configure()` would roll
everything back and still report success.
"""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import DateTime
from sqlalchemy.engine import Connection

from dashtam.core.tables import Table, UtcDateTime


def spelling(kind: str, thing: object, _context: AutogenContext) -> str | Literal[False]:
    """Write our own column type as what it is in the database, so that no revision imports the service."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(thing, UtcDateTime) else False


def same_type(
    at: MigrationContext, _there: object, _model: object, found: object, wanted: object
) -> bool | None:
    """Whether a column's type differs; None leaves it to Alembic. SQLite keeps no time zone to compare."""
    if isinstance(wanted, UtcDateTime) and isinstance(found, DateTime):
        return at.dialect.name != "sqlite" and not found.timezone
    return None


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=spelling,
        compare_type=same_type,
        compare_server_default=True,
        on_version_apply=context.config.attributes.get("on_version_apply", ()),
    )
    with context.begin_transaction():
        context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is None:
    raise SystemExit("Alembic needs a connection with an open transaction: use `dashtam migrate`.")
migrate(handed_in)
