"""`flask sources`: the systems that customers come from, as the sources file declares them."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from enrich.cli.base import Group
from enrich.services import current_services, read_sources_file
from enrich.settings import environment

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("sources", cls=Group)
def sources() -> None:
    """The systems that customers come from: databases, and systems that send their customers."""


@sources.command("check")
@click.argument("file", type=_FILE, required=False)
@with_appcontext
def check(file: Path | None) -> None:
    """Check FILE, or the file of ENRICH_SOURCES, and list every mistake; exit status 1 if there is one."""
    settings = current_services().settings
    path = file or settings.sources
    if path is None:
        raise click.UsageError("Give a FILE, or set ENRICH_SOURCES.")
    declared = read_sources_file(settings, path, environ=environment()).declarations
    kinds = ", ".join(f"{name} ({declaration.kind})" for name, declaration in declared.items())
    click.echo(f"{path}: {kinds}: OK")
