"""A partial index on received_at without events, instead of one on all entries, most of which are events

Events are looked up by task and Sid only, so writing one costs one index less.

Locks: `entries` against writes while the new index is built. On a large PostgreSQL journal, create the index below
beforehand with CREATE INDEX CONCURRENTLY; the migration then skips it. The old code keeps working, but reads the whole
table when it prunes.
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
