"""Run the migrations on the connection that `enrich.database.migrations` passes in.

For alembic's own command line: on `DATABASE_URL`.
"""

from __future__ import annotations

import importlib
import os

from alembic import context
from sqlalchemy import Connection, text

from enrich.database.engine import Database
from enrich.database.types import Base

# What is not imported is not compared.
for subject in ("accounts", "customers", "journal"):
    importlib.import_module(f"enrich.{subject}.tables")

# Two machines that are started at once must not both migrate: any number, as long as it is always the same.
MIGRATION_LOCK = 20261123


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
        compare_type=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    database = Database(os.environ.get("DATABASE_URL", "sqlite:///instance/enrich.db"))
    with database.engine.connect() as connection:
        run(connection)
        connection.commit()
