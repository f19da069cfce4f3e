"""Run the migrations on the connection that `enrich.database.migrations` passes in.

Under the alembic command there is none; then they run on `DATABASE_URL`.
"""

from __future__ import annotations

import importlib
import os

from alembic import context
from sqlalchemy import Connection, text

from enrich.database.types import Base

# Fills Base.metadata: autogenerate compares only the tables that are imported.
for subject in ("accounts", "customers", "journal"):
    importlib.import_module(f"enrich.{subject}.tables")

# Advisory lock, so that two machines starting at once do not both migrate. The number is arbitrary but fixed.
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


def run_on_database_url() -> None:
    from enrich.database.engine import Database  # here: the service passes a connection and needs no engine

    database = Database(os.environ.get("DATABASE_URL", "sqlite:///instance/enrich.db"))
    with database.engine.connect() as connection:
        run(connection)
        connection.commit()


passed_connection = context.config.attributes.get("connection")
if passed_connection is not None:
    run(passed_connection)
else:
    run_on_database_url()
