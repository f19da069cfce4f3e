"""Look-ups of other systems over the API

Locks: nothing. The old code is not affected; it does not know look-ups.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261128_lookups"
down_revision = "20261128_api_tokens"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "lookups",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_id", ROW_ID, nullable=False),
        sa.Column("key_kind", sa.String(40), nullable=False),
        sa.Column("trust", sa.String(8), nullable=False),
        sa.Column("match", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("customer_id", sa.String(64), nullable=True),
        sa.Column("elapsed_ms", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lookups"),
    )
    op.create_index("ix_lookups_at", "lookups", ["at"])


def downgrade() -> None:
    op.drop_table("lookups")
