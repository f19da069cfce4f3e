"""An index of given-up follow-ups, so that the cost of counting them does not grow with the journal

Locks: `followups` against writes while the index is built, about a second for a million rows; callbacks without a
follow-up do not wait. The old code is not affected.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_given_up_index"
down_revision = "20261124_settling"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_followups_given_up_at",
        "followups",
        ["given_up_at"],
        sqlite_where=sa.text("given_up_at IS NOT NULL"),
        postgresql_where=sa.text("given_up_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_followups_given_up_at", "followups")
