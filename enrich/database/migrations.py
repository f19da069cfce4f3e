"""Schema migrations with Alembic: the present and the required revision, upgrade and downgrade."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from enrich import errors
from enrich.database.engine import Database
from enrich.database.errors import translated
from enrich.resources import resource


def revisions(database: Database) -> tuple[str | None, str | None]:
    """Return the database's revision, None for an empty one, and the revision that this code requires.

    An unknown revision, of a newer version, satisfies this code: every migration is compatible with the version before,
    which keeps serving until its last process is replaced, and is the one to roll back to. Raises DatabaseError.
    """
    with translated(), database.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current, _head() if current is None or current in _known() else current


def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the schema to the revision, unless it is of a newer version. Raises DatabaseError."""
    current, required = revisions(database)
    if revision == "head" and current is not None and current == required:
        return
    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to the revision (`base`: empty; `-1`: one step). Raises DatabaseError."""
    _run(database, lambda config: command.downgrade(config, revision))


def _run(database: Database, act: Callable[[Config], None]) -> None:
    with translated(), database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        try:
            act(config)
        except CommandError as exc:
            raise errors.DatabaseError(str(exc)) from exc
        connection.commit()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resource("migrations")).replace("%", "%%"))
    return config


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


@cache
def _head() -> str | None:
    """Return the newest revision; cached, because the files do not change while the process runs."""
    return ScriptDirectory.from_config(_config()).get_current_head()
