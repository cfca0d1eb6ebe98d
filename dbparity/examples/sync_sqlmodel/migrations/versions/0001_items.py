"""Items."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "item",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("stock", sa.Integer, nullable=False),
    )
    op.create_index("ix_item_name", "item", ["name"], unique=True)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("item")
