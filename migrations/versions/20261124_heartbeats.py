"""Heartbeats: one row per worker, with the time of its last heartbeat

Locks: nothing, the table is new. The old code is not affected.
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
