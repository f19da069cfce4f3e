"""Syncs of sources: what a run did, when the next one is due, and what an operator is asked

Locks: nothing for long; each new column is null, or has a constant default. The old code is not affected; it does not
know the new columns and tables.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261128_syncs"
down_revision = "20261128_lookups"
branch_labels = None
depends_on = None

OF_SOURCES: tuple[sa.Column[Any], ...] = (
    sa.Column("shared_kinds", sa.JSON(), nullable=True),
    sa.Column("placeholders", sa.JSON(), nullable=True),
    sa.Column("is_shared", sa.Boolean(), nullable=False, server_default=sa.true()),
)
OF_STREAMS: tuple[sa.Column[Any], ...] = (
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("counts", sa.JSON(), nullable=True),
    sa.Column("window_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("keys_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("full_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("problem", sa.String(40), nullable=True),
    sa.Column("detail", sa.Text(), nullable=True),
    sa.Column("failed_since", sa.DateTime(timezone=True), nullable=True),
    sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
    sa.Column("requested", sa.String(8), nullable=True),
    sa.Column("held", sa.JSON(), nullable=True),
    sa.Column("accepted", sa.BigInteger(), nullable=True),
)


def upgrade() -> None:
    for column in OF_SOURCES:
        op.add_column("sources", column)
    for column in OF_STREAMS:
        op.add_column("streams", column)
    op.add_column("quarantine", sa.Column("is_loaded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "precedence",
        sa.Column("field", sa.String(16), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("is_applied", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("field", name="pk_precedence"),
    )


def downgrade() -> None:
    op.drop_table("precedence")
    op.drop_column("quarantine", "is_loaded")
    for column in reversed(OF_STREAMS):
        op.drop_column("streams", column.name)
    for column in reversed(OF_SOURCES):
        op.drop_column("sources", column.name)
