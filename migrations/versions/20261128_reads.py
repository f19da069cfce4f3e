"""Reads of personal data over the API

Locks: nothing. The old code is not affected; it does not know reads.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261128_reads"
down_revision = "20261128_syncs"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "reads",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_id", ROW_ID, nullable=False),
        sa.Column("operation", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(64), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("elapsed_ms", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reads"),
    )
    op.create_index("ix_reads_at", "reads", ["at"])


def downgrade() -> None:
    op.drop_table("reads")
