"""The schema's revisions: where a database is, where this code wants it, and the way between (Alembic)."""

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
    """Where the database is (None: nowhere yet), and where this code wants it. Raises DatabaseError.

    Where a newer version has taken it, this code wants it to stay: migrations are made to be survived by the version
    before them, which goes on serving until the last of its processes is replaced, and is what one goes back to.
    """
    with translated(), database.engine.connect() as connection:
        at = MigrationContext.configure(connection).get_current_revision()
    return at, _head() if at is None or at in _known() else at


def upgrade(database: Database, revision: str = "head") -> None:
    """Brings the schema up to the revision; a newer version's is left as it is. Raises DatabaseError."""
    at, wanted = revisions(database)
    if revision == "head" and at is not None and at == wanted:
        return
    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revision: str) -> None:
    """Takes the schema down to the revision (`base`: to nothing; `-1`: one step). Raises DatabaseError."""
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
    return frozenset(each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions())


@cache
def _head() -> str | None:
    """Read once: the files do not change under a running process."""
    return ScriptDirectory.from_config(_config()).get_current_head()
