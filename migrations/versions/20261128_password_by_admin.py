"""Users: whether an admin set the password, which is then changed at the next sign-in

Locks: users for a moment. The old code is not affected; a password that it sets for somebody else stays as it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261128_password_by_admin"
down_revision = "20261128_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("password_by_admin", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("users", "password_by_admin")
