"""Commands for customers: `flask crm seed`, `crm export`, `crm lookup`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from enrich.cli.base import Group
from enrich.customers import block, fixtures, matching, seeding
from enrich.services import current_services

# From so many lines on a progress bar tells more than the wait does.
LARGE_FILE = 1000


@click.group(cls=Group)
def crm() -> None:
    """Customers: load and export data, and look up a key."""


@crm.command("seed")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_appcontext
def seed(files: tuple[Path, ...]) -> None:
    """Load FILEs of customers (.json, .jsonl, .csv), or the built-in ones. Loading a file again changes nothing.

    Wrong rows are listed with line, field and reason; the others are loaded, and the exit status is 1.
    """
    bad = 0
    services = current_services()
    for path in files or (fixtures.builtin_path(),):
        with _progress_of(path) as progress:
            region, kinds = services.settings.default_region, services.rules.keys.kinds
            rows = fixtures.read_fixtures(path, region=region, kinds=kinds)
            report = seeding.seed(services.database, rows, now=datetime.now(UTC), progress=progress)
        for row in report.bad:
            click.echo(f"{path.name}: {row}", err=True)
        bad += len(report.bad)
        click.echo(
            f"{path.name}: {report.created} new, {report.changed} changed, {report.unchanged} unchanged"
            + (f", {report.settled} partly as edited by staff" if report.settled else "")
            + (f", {len(report.bad)} not loaded" if report.bad else "")
        )
    if bad:
        raise SystemExit(1)


@contextmanager
def _progress_of(path: Path) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar, by lines, for a file of more than a thousand lines on a terminal."""
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines < LARGE_FILE or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=lines, label=path.name, file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


@crm.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@with_appcontext
def export(file: Any) -> None:
    """Write all customers to FILE, or to standard output, one JSON object a line; `crm seed` reads it."""
    for customer in seeding.export(current_services().database):
        file.write(json.dumps(customer, ensure_ascii=False) + "\n")


@crm.command("lookup")
@click.argument("key", required=False)
@click.option("--kind", help="Kind of KEY: phone, email, address, account_number … (default: all that are looked up)")
@click.option("--attributes", help="Instead of KEY: the attributes of a task, as JSON.")
@with_appcontext
def lookup(key: str | None, kind: str | None, attributes: str | None) -> None:
    """Show which customer KEY matches, and why, as for a task with this attribute."""
    services = current_services()
    services.require_policy()
    rules, store = services.rules, services.adapters.store
    keys = matching.lookup_keys(*_as_task(key, kind, attributes, rules.keys))
    found = store.look_up(keys)
    match = matching.choose(keys, found.candidates)
    customer = store.details_of(match, found)
    for asked in matching.explain(keys, found.candidates, match)["keys"]:
        click.echo(f"{asked['kind']} {asked['value']} ({asked['trust']}): {asked['found'] or 'nobody'}")
    for attribute in keys.withheld:
        click.echo(f"{attribute}: number withheld")
    for attribute in keys.unknown if attributes else ():  # KEY stands in every attribute, and need not fit each
        click.echo(f"{attribute}: form not known")
    click.echo(
        json.dumps({rules.attribute: block.compose(match, customer, rules.shape)[0]}, ensure_ascii=False, indent=2)
    )


def _as_task(
    key: str | None, kind: str | None, attributes: str | None, rules: matching.KeyRules
) -> tuple[dict[str, Any], matching.KeyRules]:
    """Return attributes with the given key, and the rules to read them by."""
    if (key is None) == (attributes is None):
        raise click.UsageError("Give either KEY or --attributes.")
    if attributes is not None:
        try:
            task = json.loads(attributes)
        except ValueError as exc:
            raise click.BadParameter(f"not JSON: {exc}", param_hint="--attributes") from exc
        if not isinstance(task, dict):
            raise click.BadParameter("not a JSON object", param_hint="--attributes")
        return task, rules
    if kind is None:
        return {source.attribute: key for source in rules.sources if len(source.path) == 1}, rules
    try:
        return {"key": key}, matching.KeyRules.parse(f"key:{kind}", region=rules.region)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--kind") from exc
