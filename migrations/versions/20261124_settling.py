"""Identification by staff: pins, audit trail, row versions, search words, and the index of a customer's history

Locks: `customers` briefly, to add columns that are nullable or have a default; `entries` against writes while its index
is built. On a large PostgreSQL journal, create it beforehand: CREATE INDEX CONCURRENTLY ix_entries_customer_id ON
entries (customer_id, id) WHERE customer_id IS NOT NULL; the migration then skips it. Words are inserted in batches.
"""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261124_settling"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
WORD = sa.String(40).with_variant(postgresql.VARCHAR(40, collation="C"), "postgresql")
BATCH = 5000


def upgrade() -> None:
    op.add_column("customers", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("customers", sa.Column("settled", sa.JSON(none_as_null=True)))
    op.add_column("customers", sa.Column("merged_into", sa.String(64)))
    op.create_index("ix_customers_merged_into", "customers", ["merged_into"])
    words = op.create_table(
        "customer_words",
        _customer("customer_words"),
        sa.Column("word", WORD, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "word", name="pk_customer_words"),
    )
    op.create_index("ix_customer_words_word", "customer_words", ["word", "customer_id"])
    op.create_table(
        "unlinked",
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("value", sa.String(254), nullable=False),
        _customer("unlinked"),
        sa.PrimaryKeyConstraint("kind", "value", "customer_id", name="pk_unlinked"),
    )
    op.create_index("ix_unlinked_customer_id", "unlinked", ["customer_id"])
    op.create_table(
        "pins",
        sa.Column("task_sid", sa.String(34), nullable=False),
        _customer("pins", nullable=True),
        sa.Column("by", sa.String(254), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("task_sid", name="pk_pins"),
    )
    op.create_index("ix_pins_customer_id", "pins", ["customer_id"])
    op.create_table(
        "audit_entries",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("user_id", sa.Integer()),
        sa.Column("by", sa.String(254), nullable=False),
        sa.Column("action", sa.String(24), nullable=False),
        sa.Column("task_sid", sa.String(34)),
        sa.Column("customer_id", sa.String(64)),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("undoes", ROW_ID),
        sa.Column("undone_by", ROW_ID),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_task_sid", "audit_entries", ["task_sid", "id"])
    op.create_table(
        "audit_customers",
        sa.Column(
            "audit_id",
            ROW_ID,
            sa.ForeignKey("audit_entries.id", name="fk_audit_customers_audit_id_audit_entries", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("customer_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", "customer_id", name="pk_audit_customers"),
    )
    op.create_index("ix_audit_customers_customer_id", "audit_customers", ["customer_id", "audit_id"])
    known = sa.text("customer_id IS NOT NULL")
    op.create_index(
        "ix_entries_customer_id",
        "entries",
        ["customer_id", "id"],
        sqlite_where=known,
        postgresql_where=known,
        if_not_exists=True,
    )
    _fill(words)


def downgrade() -> None:
    op.drop_index("ix_entries_customer_id", "entries")
    for table in ("audit_customers", "audit_entries", "pins", "unlinked", "customer_words"):
        op.drop_table(table)
    op.drop_index("ix_customers_merged_into", "customers")
    for column in ("merged_into", "settled", "version"):
        op.drop_column("customers", column)


def _fill(words: sa.Table) -> None:
    """Insert the search words of the existing customers."""
    customers = sa.table("customers", sa.column("id"), sa.column("name"), sa.column("company"))
    connection, last = op.get_bind(), ""
    while True:
        page = sa.select(customers).where(customers.c.id > last).order_by(customers.c.id).limit(BATCH)
        rows = connection.execute(page).all()
        found = [{"customer_id": row.id, "word": word} for row in rows for word in _words_of(row.name, row.company)]
        if found:
            connection.execute(sa.insert(words), found)
        if len(rows) < BATCH:
            return
        last = rows[-1].id


# Frozen copy of the rule at this revision: a migration must give the same rows whatever the package does later.
def _words_of(*texts: str) -> tuple[str, ...]:
    """Return up to 12 different case-folded words of at most 40 characters, in order."""
    found = re.findall(r"\w+", _folded(" ".join(texts)))
    return tuple(dict.fromkeys(word[:40] for word in found if _is_storable(word)))[:12]


def _folded(text: str) -> str:
    """Return the text in NFKC case folding, without format characters, spaces collapsed."""
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    visible = unicodedata.normalize("NFKC", visible)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", visible).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _is_storable(text: str) -> bool:
    """Return False for text with NUL or lone surrogates, which PostgreSQL refuses."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _customer(table: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(
        "customer_id",
        sa.String(64),
        sa.ForeignKey("customers.id", name=f"fk_{table}_customer_id_customers", ondelete="CASCADE"),
        nullable=nullable,
    )
