"""When it was received, indexed for what the feed and the counts look for only: most rows are events

An event is looked for by its task and its Sid; its row is one index less to write.

Locks: `entries` against writing while the new index is built. On a large PostgreSQL journal make it beforehand, as it
stands below, with CREATE INDEX CONCURRENTLY; it is then left alone. The old code goes on, and reads the whole table
when it prunes.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261126_received_at_of_lines"
down_revision = "20261124_tallies"
branch_labels = None
depends_on = None

NO_EVENT = sa.text("kind <> 'event'")


def upgrade() -> None:
    op.create_index(
        "ix_entries_lines_received_at",
        "entries",
        ["received_at"],
        sqlite_where=NO_EVENT,
        postgresql_where=NO_EVENT,
        if_not_exists=True,
    )
    op.drop_index("ix_entries_received_at", "entries")


def downgrade() -> None:
    op.create_index("ix_entries_received_at", "entries", ["received_at"])
    op.drop_index("ix_entries_lines_received_at", "entries")
