"""Rollups of the journal, in tables called tallies: counts per minute, quarter of an hour and two hours

Locks: nothing, the tables are new.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_tallies"
down_revision = "20261124_policy_decisions"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("span_s", sa.Integer(), nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("match", sa.String(12), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("times", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tallies"),
    )
    op.create_index("ix_tallies_span_s", "tallies", ["span_s", "began_at"])
    op.create_table(
        "tally_marks",
        sa.Column("span_s", sa.Integer(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("span_s", name="pk_tally_marks"),
    )


def downgrade() -> None:
    op.drop_table("tally_marks")
    op.drop_table("tallies")
