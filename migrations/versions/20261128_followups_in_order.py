"""The task of each follow-up, so that a worker with many in flight keeps the follow-ups of one task in order

Locks: `followups` against writes while pending rows are filled in and the index is built, well under a second for ten
thousand pending rows; callbacks without a follow-up do not wait. Old code is not affected. What it adds has no task
here, and is executed without regard to the order, as it was by old workers.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261128_followups_in_order"
down_revision = "20261128_words_without_accents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("followups", sa.Column("task_sid", sa.String(34), nullable=True))
    op.execute(
        "UPDATE followups SET task_sid = (SELECT entries.task_sid FROM entries WHERE entries.id = followups.entry_id)"
        " WHERE due_at IS NOT NULL"
    )
    op.create_index(
        "ix_followups_task_sid",
        "followups",
        ["task_sid", "due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_followups_task_sid", "followups")
    op.drop_column("followups", "task_sid")
