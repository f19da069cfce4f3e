"""`flask sources`: the systems that customers come from, as the sources file declares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from enrich.cli.base import Group
from enrich.cli.doctor import lines_of
from enrich.domain.findings import Finding, Level, worst
from enrich.services import connector_of, current_services, read_sources_file
from enrich.settings import environment
from enrich.sources.file import SqlDeclaration

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("sources", cls=Group)
def sources() -> None:
    """The systems that customers come from: databases, and systems that send their customers."""


@sources.command("check")
@click.argument("file", type=_FILE, required=False)
@click.option("--offline", is_flag=True, help="Check the file alone, and connect to nothing.")
@with_appcontext
def check(file: Path | None, offline: bool) -> None:
    """Check FILE, or the file of ENRICH_SOURCES, and list every mistake; then look at each database that it names.

    Nothing is written. Status: 0 all is right, or there are warnings; 1 there are mistakes or problems.
    """
    settings = current_services().settings
    path = file or settings.sources
    if path is None:
        raise click.UsageError("Give a FILE, or set ENRICH_SOURCES.")
    environ = environment()
    declared = read_sources_file(settings, path, environ=environ).declarations
    kinds = ", ".join(f"{name} ({declaration.kind})" for name, declaration in declared.items())
    click.echo(f"{path}: {kinds}: OK")
    found: list[Finding] = []
    for declaration in declared.values():
        if isinstance(declaration, SqlDeclaration) and not offline:
            click.echo(f"\n{declaration.name}")
            for finding in _examine(declaration, environ):
                found.append(finding)
                click.echo(lines_of(finding))
    if worst(found) is Level.PROBLEM:
        raise SystemExit(1)


def _examine(declaration: SqlDeclaration, environ: Mapping[str, str]) -> Iterator[Finding]:
    connector = connector_of(declaration, environ)
    try:
        yield from connector.check(datetime.now(UTC))
    finally:
        connector.close()
