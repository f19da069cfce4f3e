"""Commands for customers: `flask crm seed`, `crm export`, `crm lookup`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from enrich.cli.base import Group
from enrich.customers import block, columns, fixtures, matching, seeding
from enrich.customers import export as customer_export
from enrich.services import current_services

# Files from this many lines get a progress bar.
LARGE_FILE = 1000


@click.group(cls=Group)
def crm() -> None:
    """Customers: load and export data, and look up a key."""


@crm.command("seed")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="'COLUMN=FIELD'",
    help="What a column holds: id, name, first_name, last_name, company, tier, language, owner, phones, emails, notes,"
    " ids.KIND, or _ to leave it aside. Repeatable.",
)
@click.option("--encoding", help="Encoding of the text, such as cp1250 (default: UTF-8, UTF-16 or cp1252, recognised).")
@with_appcontext
def seed(files: tuple[Path, ...], mapping: tuple[str, ...], encoding: str | None) -> None:
    """Load FILEs of customers, or the built-in ones. Loading a file again changes nothing.

    Read are JSON, JSON Lines, CSV and TSV, Excel workbooks (.xlsx) and vCards. Exports of HubSpot, Salesforce, Zendesk,
    Google Contacts and Outlook load as they are; a line says how their columns were understood.

    What is wrong is listed with line, field and reason. One wrong value costs the value, not the row; the rest is
    loaded, and the exit status is 1.
    """
    is_complete = True
    services = current_services()
    column_fields = _column_fields(mapping)
    _check_encoding(encoding)
    for path in files or (fixtures.builtin_path(),):
        with _progress_of(path) as progress:
            rows = fixtures.read_fixtures(
                path,
                region=services.settings.default_region,
                kinds=services.rules.keys.kinds,
                mapping=column_fields,
                encoding=encoding,
                remark=partial(_echo_remark, path.name),
            )
            report = seeding.seed(services.database, rows, now=services.clock.synchronize(), progress=progress)
        for row in report.bad:
            click.echo(f"{path.name}: {row}", err=True)
        is_complete &= not report.bad
        click.echo(
            f"{path.name}: {report.created} new, {report.changed} changed, {report.unchanged} unchanged"
            + (f", {report.settled} partly as edited by staff" if report.settled else "")
            + (f", {report.incomplete} without some of their values" if report.incomplete else "")
            + (f", {report.not_loaded} not loaded" if report.not_loaded else "")
        )
    if not is_complete:
        raise SystemExit(1)


def _column_fields(mapping: tuple[str, ...]) -> dict[str, str]:
    try:
        return columns.parse_mapping(mapping)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--map") from exc


def _check_encoding(encoding: str | None) -> None:
    try:
        "".encode(encoding or "utf-8")  # refuses codecs that are none of text, such as base64
    except LookupError as exc:
        raise click.BadParameter(str(exc), param_hint="--encoding") from exc


def _echo_remark(file_name: str, remark: str) -> None:
    click.echo(f"{file_name}: {remark}", err=True)


@contextmanager
def _progress_of(path: Path) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar, by lines, for a text file of more than a thousand lines on a terminal."""
    with path.open("rb") as file:
        lines = 0 if file.read(2) == b"PK" else sum(1 for _ in file)
    if lines < LARGE_FILE or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=lines, label=path.name, file=sys.stderr) as bar:
        yield lambda lines_done: bar.update(lines_done - bar.pos)


@crm.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@with_appcontext
def export(file: Any) -> None:
    """Write all customers to FILE, or to standard output, one JSON object a line; `crm seed` reads it."""
    for customer in customer_export.export(current_services().database):
        file.write(json.dumps(customer, ensure_ascii=False) + "\n")


@crm.command("lookup")
@click.argument("key", required=False)
@click.option(
    "--kind", help="Kind of KEY: phone, email, address, account_number … (default: those of the look-up keys)"
)
@click.option("--attributes", help="Instead of KEY: the attributes of a task, as JSON.")
@with_appcontext
def lookup(key: str | None, kind: str | None, attributes: str | None) -> None:
    """Show which customer KEY matches, and why, as for a task with this attribute."""
    services = current_services()
    services.require_policy()
    rules, store = services.rules, services.adapters.store
    keys = matching.lookup_keys(*_as_task(key, kind, attributes, rules.keys))
    rows = store.look_up(keys)
    match = matching.choose(keys, rows.candidates)
    customer = store.details_of(match, rows)
    for line in matching.explain(keys, rows.candidates, match)["keys"]:
        click.echo(f"{line['kind']} {line['value']} ({line['trust']}): {line['found'] or 'nobody'}")
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
    """Return the attributes of a task that has this key, and the rules to read them by."""
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
