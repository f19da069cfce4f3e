"""The policy decision behind an answer, and the task channel's unique name from events

Locks: `entries` briefly; both columns are nullable without a default. The old code is not affected.
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
