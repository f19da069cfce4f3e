"""Sources, their records, and decisions of staff, of which customers are computed

Locks: `customers` for a moment while columns without a computed default are added; then against writes while an index
over all customers is built, some seconds for a million. Old code is not affected: it goes on writing customers, which
the new code adopts as records and decisions when it touches them, and in the background.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261128_sources"
down_revision = "20261128_password_by_admin"
branch_labels = None
depends_on = None

IS_UNPROJECTED = sa.text("projected_version IS NULL OR projected_version <> version")


def upgrade() -> None:
    op.add_column("customers", sa.Column("created_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("customers", sa.Column("is_gone", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("customers", sa.Column("projected_version", sa.Integer(), nullable=True))
    op.create_index(
        "ix_customers_unprojected",
        "customers",
        ["id"],
        sqlite_where=IS_UNPROJECTED,
        postgresql_where=IS_UNPROJECTED,
    )
    op.create_table(
        "sources",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("mapping_fingerprint", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_sources"),
    )
    op.create_table(
        "streams",
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("position", sa.JSON(), nullable=True),
        sa.Column("watermark", sa.BigInteger(), nullable=True),
        sa.Column("lease_owner", sa.String(128), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("removals", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("source", "stream", name="pk_streams"),
    )
    op.create_table(
        "source_records",
        *_key_of_record(),
        sa.Column("home_id", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("into_remote_id", sa.String(128), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("source", "object", "remote_id", name="pk_source_records"),
    )
    op.create_index("ix_source_records_home_id", "source_records", ["home_id"])
    condition = sa.text("into_remote_id IS NOT NULL")
    op.create_index(
        "ix_source_records_into",
        "source_records",
        ["source", "object", "into_remote_id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
    op.create_table(
        "shared_ids",
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("value", sa.String(254), nullable=False),
        *_key_of_record(),
        sa.PrimaryKeyConstraint("kind", "value", "source", "object", "remote_id", name="pk_shared_ids"),
    )
    op.create_index("ix_shared_ids_record", "shared_ids", ["source", "object", "remote_id"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(254), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("other", sa.String(64), nullable=True),
        sa.Column("field", sa.String(16), nullable=True),
        sa.Column("key_kind", sa.String(40), nullable=True),
        sa.Column("key_value", sa.String(254), nullable=True),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("base", sa.JSON(), nullable=True),
        sa.Column("audit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_subject", "decisions", ["subject"])
    _index_where_present("decisions", "other")
    op.create_index("ix_decisions_audit_id", "decisions", ["audit_id"])
    op.create_table(
        "quarantine",
        *_key_of_record(),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "object", "remote_id", name="pk_quarantine"),
    )
    op.create_table(
        "seen_records",
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("remote_id", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("source", "stream", "run", "remote_id", name="pk_seen_records"),
    )


def downgrade() -> None:
    for table in ("seen_records", "quarantine", "decisions", "shared_ids", "source_records", "streams", "sources"):
        op.drop_table(table)
    op.drop_index("ix_customers_unprojected", "customers")
    for column in ("projected_version", "is_gone", "created_at"):
        op.drop_column("customers", column)


def _key_of_record() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("remote_id", sa.String(128), nullable=False),
    )


def _index_where_present(table: str, column: str) -> None:
    condition = sa.text(f"{column} IS NOT NULL")
    op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=condition, postgresql_where=condition)
