"""The last refusal by TaskRouter's rate limit of each web process, for the workers

A table of its own and not a column of `heartbeats`, whose every row old code takes for a worker that lives. Locks:
none. The old code is not affected.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261128_rate_limits"
down_revision = "20261128_followups_in_order"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_limits",
        sa.Column("process", sa.String(120), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_rate_limits"),
    )


def downgrade() -> None:
    op.drop_table("rate_limits")
