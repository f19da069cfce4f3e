"""Commands for the schema: `flask db upgrade`, `db downgrade`, `db current`."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from enrich.cli.base import Group
from enrich.database import migrations
from enrich.database.engine import Database
from enrich.services import current_services


@click.group(cls=Group)
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
@click.argument("revision", default="head")
@with_appcontext
def db_upgrade(revision: str) -> None:
    """Upgrade the schema to REVISION (default: the newest)."""
    database = current_services().database
    migrations.upgrade(database, revision)
    _print_revision(database)


# Without this, click takes `-1` for an option.
@db.command("downgrade", context_settings={"ignore_unknown_options": True})
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_appcontext
def db_downgrade(revision: str, yes: bool) -> None:
    """Downgrade the schema to REVISION: `-1` for one step, `base` for all; this deletes data."""
    database = current_services().database
    if not yes:
        question = f"Tables and columns of {database.location} will be deleted, with their data. Continue?"
        click.confirm(question, abort=True)
    migrations.downgrade(database, revision)
    _print_revision(database)


@db.command("current")
@with_appcontext
def db_current() -> None:
    """Show the schema's revision, and the one that this version needs."""
    _print_revision(current_services().database)


def _print_revision(database: Database) -> None:
    current, head = migrations.revisions(database)
    click.echo(
        f"at {current or 'nothing'}" + ("" if current == head else f"; this version needs {head}: flask db upgrade")
    )
