"""The database: engine, pool, statements, errors, column types and migrations."""
