"""First tables: customers with their identifiers, notes and cases; the journal with its follow-ups; users

Locks: nothing, the tables are new.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("company", sa.String(200), nullable=False),
        sa.Column("tier", sa.String(40), nullable=False),
        sa.Column("language", sa.String(35), nullable=False),
        sa.Column("owner", sa.String(254), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
    )
    op.create_table(
        "identifiers",
        sa.Column("id", sa.Integer(), nullable=False),
        _customer("identifiers"),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("value", sa.String(254), nullable=False),
        sa.Column("as_written", sa.String(254), nullable=False),
        sa.Column("source", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identifiers"),
        sa.UniqueConstraint("kind", "value", "customer_id", name="uq_identifiers_kind_value_customer"),
    )
    op.create_index("ix_identifiers_customer_id", "identifiers", ["customer_id"])
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), nullable=False),
        _customer("notes"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notes"),
    )
    op.create_index("ix_notes_customer_id", "notes", ["customer_id"])
    op.create_table(
        "cases",
        _customer("cases"),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("opened_on", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "id", name="pk_cases"),
    )

    op.create_table(
        "entries",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("delivery_key", sa.String(34)),
        sa.Column("claim", sa.String(16), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("workspace_sid", sa.String(34), nullable=False),
        sa.Column("task_sid", sa.String(34)),
        sa.Column("reservation_sid", sa.String(34)),
        sa.Column("worker_sid", sa.String(34), nullable=False),
        sa.Column("worker_name", sa.String(120), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("raw_form", sa.Text(), nullable=False),
        sa.Column("concluded_at", MOMENT),
        sa.Column("outcome", sa.String(20)),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("match", sa.String(12)),
        sa.Column("by", sa.String(40), nullable=False),
        sa.Column("trust", sa.String(10), nullable=False),
        sa.Column("customer_id", sa.String(64)),
        sa.Column("customer_name", sa.String(200), nullable=False),
        sa.Column("finding", sa.JSON(none_as_null=True)),
        sa.Column("attributes_before", sa.Text()),
        sa.Column("attributes_after", sa.Text()),
        sa.Column("answer", sa.Text()),
        sa.Column("steps", sa.JSON(none_as_null=True)),
        sa.Column("elapsed_ms", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_entries"),
        sa.UniqueConstraint("delivery_key", name="uq_entries_delivery_key"),
    )
    op.create_index("ix_entries_task_sid", "entries", ["task_sid", "id"])
    op.create_index("ix_entries_received_at", "entries", ["received_at"])
    no_event = sa.text("kind <> 'event'")
    op.create_index("ix_entries_lines", "entries", ["id"], sqlite_where=no_event, postgresql_where=no_event)
    unconcluded = sa.text("concluded_at IS NULL")
    op.create_index(
        "ix_entries_unconcluded", "entries", ["received_at"], sqlite_where=unconcluded, postgresql_where=unconcluded
    )
    op.create_table(
        "followups",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("entry_id", ROW_ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("leased_until", MOMENT),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_reason", sa.String(40), nullable=False),
        sa.Column("done_at", MOMENT),
        sa.Column("given_up_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_followups"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.id"], name="fk_followups_entry_id_entries", ondelete="CASCADE"),
    )
    op.create_index("ix_followups_due_at", "followups", ["due_at"])
    op.create_index("ix_followups_entry_id", "followups", ["entry_id"])

    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )


def downgrade() -> None:
    for table in ("users", "followups", "entries", "cases", "notes", "identifiers", "customers"):
        op.drop_table(table)


def _customer(table: str) -> sa.Column[str]:
    return sa.Column(
        "customer_id",
        sa.String(64),
        sa.ForeignKey("customers.id", name=f"fk_{table}_customer_id_customers", ondelete="CASCADE"),
        nullable=False,
    )
