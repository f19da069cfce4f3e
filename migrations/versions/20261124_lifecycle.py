"""The life cycle of tasks: keys and data of follow-ups, task states, and finished interactions of customers

Locks: `followups` while two nullable columns and an index on one of them are added; the other tables are new.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_lifecycle"
down_revision = "20261124_feed_filters"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("followups", sa.Column("key", sa.String(64)))
    op.add_column("followups", sa.Column("data", sa.JSON(none_as_null=True)))
    op.create_index("uq_followups_key", "followups", ["key"], unique=True)
    op.create_table(
        "task_states",
        sa.Column("task_sid", sa.String(34), nullable=False),
        sa.Column("workspace_sid", sa.String(34), nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.Column("canceled", sa.Integer(), nullable=False),
        sa.Column("assignments", sa.Integer(), nullable=False),
        sa.Column("escalation", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("alarm", sa.String(24), nullable=False),
        sa.Column("alarm_since", MOMENT),
        sa.Column("hand_overs", sa.Integer(), nullable=False),
        sa.Column("handed_over_from", sa.String(34)),
        sa.Column("handed_over_to", sa.String(34)),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("task_sid", name="pk_task_states"),
    )
    op.create_index("ix_task_states_updated_at", "task_states", ["updated_at"])
    alarmed = sa.text("alarm <> ''")
    op.create_index("ix_task_states_alarm", "task_states", ["alarm"], sqlite_where=alarmed, postgresql_where=alarmed)
    op.create_table(
        "interactions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_sid", sa.String(34), nullable=False),
        sa.Column(
            "customer_id",
            sa.String(64),
            sa.ForeignKey("customers.id", name="fk_interactions_customer_id_customers", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("worker_sid", sa.String(34), nullable=False),
        sa.Column("worker_name", sa.String(120), nullable=False),
        sa.Column("began_at", MOMENT),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_interactions"),
        sa.UniqueConstraint("task_sid", name="uq_interactions_task_sid"),
    )
    op.create_index("ix_interactions_customer_id", "interactions", ["customer_id", "ended_at"])


def downgrade() -> None:
    op.drop_table("interactions")
    op.drop_table("task_states")
    op.drop_index("uq_followups_key", "followups")
    with op.batch_alter_table("followups") as followups:
        followups.drop_column("data")
        followups.drop_column("key")
