"""Heartbeats: a row for each worker, with when it last worked

Locks: nothing, the table is new. The old code does not notice it.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_heartbeats"
down_revision = "20261124_given_up_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("worker", sa.String(120), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_heartbeats"),
    )


def downgrade() -> None:
    op.drop_table("heartbeats")
