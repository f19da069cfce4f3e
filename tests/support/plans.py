"""Plans of queries, as SQLite and PostgreSQL explain them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import event, text

from enrich.database.engine import Database

# The tables that are read through: by SQLite without an index, by PostgreSQL whatever the condition.
READS_A_TABLE = re.compile(r"(?:SCAN (?!.*USING)|Seq Scan on )(\w+)")


def plans_of(database: Database, *questions: Callable[[], object]) -> list[str]:
    """Return the plan of each SELECT that these questions send, in order.

    PostgreSQL gathers statistics before, as it does by itself; SQLite never does. database: with enough rows that
    PostgreSQL prefers an index, opened by the role that owns the tables.
    """
    if not database.is_sqlite:
        with database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        asked.append((sql, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    for ask in questions:
        ask()
    event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.engine.connect() as connection:
        return [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {sql}", parameters))
            for sql, parameters in asked
            if sql.startswith("SELECT")
        ]
