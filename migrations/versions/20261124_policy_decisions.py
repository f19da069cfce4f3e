"""What decided the answer, and the channel that events tell of

Locks: nothing for longer than a moment, both columns are nullable and have no default. The old code does not notice
them.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_policy_decisions"
down_revision = "20261124_lifecycle"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("entries", sa.Column("channel_unique_name", sa.String(64)))
    op.add_column("entries", sa.Column("decision", sa.JSON()))


def downgrade() -> None:
    op.drop_column("entries", "decision")
    op.drop_column("entries", "channel_unique_name")
