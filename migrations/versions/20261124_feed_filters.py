"""Columns and indexes for the feed's filters: channel, queue, worker, ending and first look-up key

Locks: `entries` briefly, to add columns that are nullable or have a constant default; then against writes while each
index is built. On a large PostgreSQL journal, create the indexes below beforehand with CREATE INDEX CONCURRENTLY; the
migration then skips them. Older rows have no channel and no queue.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_feed_filters"
down_revision = "20261124_sign_in_attempts"
branch_labels = None
depends_on = None

NO_EVENT = "kind <> 'event'"
UNUSUAL = """kind <> 'event' AND NOT (outcome = 'enriched' AND "match" = 'matched')"""
COLUMNS = (("task_channel", 64), ("task_queue_sid", 34), ("task_queue_name", 200))
INDEXES = (
    ("ix_entries_worker_sid", ["worker_sid", "id"], NO_EVENT),
    ("ix_entries_task_queue_sid", ["task_queue_sid", "id"], NO_EVENT),
    ("ix_entries_task_channel", ["task_channel", "id"], NO_EVENT),
    ("ix_entries_endings", ["outcome", "match", "id"], UNUSUAL),
    ("ix_entries_first_key", ["first_key", "id"], "first_key IS NOT NULL"),
)


def upgrade() -> None:
    for name, length in COLUMNS:
        op.add_column("entries", sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.add_column("entries", sa.Column("first_key", sa.String(254)))
    for name, columns, rows in INDEXES:
        where = sa.text(rows)
        op.create_index(name, "entries", columns, sqlite_where=where, postgresql_where=where, if_not_exists=True)


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, "entries")
    for name in ("first_key", *(name for name, _ in COLUMNS)):
        op.drop_column("entries", name)
