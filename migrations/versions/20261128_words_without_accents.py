"""Search words without accents, beside those with them

New code looks for "jose" where "José" is typed; old code, which serves until its last process is replaced, for "josé".
So words are only added: those with accents go when the customer's name or company changes. What old code writes after
this migration is found by its spelling without accents from the next change of the customer on.

Locks: no table. Rows are read in pages of 5,000 customers and inserted only for names that are not ASCII; on SQLite the
write lock is held from the first of them on. Downgrading leaves the words, with which old code finds more than before.
"""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "20261128_words_without_accents"
down_revision = "20261126_received_at_of_lines"
branch_labels = None
depends_on = None

BATCH = 5000
# Old code may write the same word meanwhile, and SQLite and PostgreSQL spell this alike.
INSERT = sa.text(
    "INSERT INTO customer_words (customer_id, word) VALUES (:customer_id, :word)"
    " ON CONFLICT (customer_id, word) DO NOTHING"
)


def upgrade() -> None:
    customers = sa.table("customers", sa.column("id"), sa.column("name"), sa.column("company"))
    connection, last = op.get_bind(), ""
    while True:
        # On PostgreSQL, FOR KEY SHARE: no customer of the page is deleted before its words are there.
        page = (
            sa.select(customers)
            .where(customers.c.id > last)
            .order_by(customers.c.id)
            .limit(BATCH)
            .with_for_update(read=True, key_share=True)
        )
        rows = connection.execute(page).all()
        words = [
            {"customer_id": row.id, "word": word}
            for row in rows
            if not (row.name + row.company).isascii()
            for word in _words_of(row.name, row.company)
        ]
        if words:
            connection.execute(INSERT, words)
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def downgrade() -> None:
    pass


# Frozen copy of the rule at this revision: a migration must give the same rows whatever the package does later.
def _words_of(*texts: str) -> tuple[str, ...]:
    """Return up to 12 different case-folded words without accents, of at most 40 characters, in order."""
    found = re.findall(r"\w+", _without_accents(_folded(" ".join(texts))))
    return tuple(dict.fromkeys(word[:40] for word in found if "\0" not in word))[:12]


def _folded(text: str) -> str:
    """Return the text in NFKC case folding, without format characters, spaces collapsed."""
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    visible = unicodedata.normalize("NFKC", visible)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", visible).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


_LETTERS = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ß": "ss",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "ĸ": "k",
        "ƀ": "b",
        "ƶ": "z",
        "ǥ": "g",
        "ɓ": "b",
        "ɖ": "d",
        "ɗ": "d",
        "ƙ": "k",
        "ə": "e",
        "ǝ": "e",
        "ɛ": "e",
        "ɔ": "o",
        "ƴ": "y",
    }
)


def _without_accents(text: str) -> str:
    """Return the text without the marks of Latin, Greek and Cyrillic letters."""
    bare = re.sub("[\u0300-\u036f]+", "", unicodedata.normalize("NFD", text).translate(_LETTERS))
    return unicodedata.normalize("NFC", bare)
