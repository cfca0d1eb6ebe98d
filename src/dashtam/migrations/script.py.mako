"""${message.capitalize()}.

Revision ${up_revision}, after ${down_revision | comma,n}. Never edited once released: what is wrong here is mended by the next one.
It imports nothing of the service, so that it stays what it was when the tables change.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
