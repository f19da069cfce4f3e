"""Commands for customers: `flask crm seed`, `crm export`, `crm lookup`, `crm delete`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from flask.cli import with_appcontext

from enrich import errors
from enrich.cli.base import Group
from enrich.cli.load_progress import progress_of
from enrich.customers import block, columns, fixtures, matching, search
from enrich.customers import export as customer_export
from enrich.customers.file_loads import batches_of, begin_load
from enrich.customers.key_rules import KeyRules
from enrich.customers.projection_writes import read_customers
from enrich.customers.records import Actor
from enrich.customers.search import FoundCustomer
from enrich.customers.seeding import LoadRules, SeedReport
from enrich.flows.resolution import Resolver, StaleEdit
from enrich.services import Services, current_services


@click.group(cls=Group)
def crm() -> None:
    """Customers: load and export data, look up a key, delete a customer."""


@crm.command("seed")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE...")
@click.option("--demo", is_flag=True, help="Load the invented customers that come with the service, instead of FILE.")
@click.option("--replace", is_flag=True, help="FILE has all customers: those of files that are not in it go.")
@click.option("--accept", type=click.IntRange(min=0), metavar="N", help="With this load, N customers may go.")
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
def seed(
    files: tuple[Path, ...],
    mapping: tuple[str, ...],
    encoding: str | None,
    accept: int | None,
    *,
    demo: bool,
    replace: bool,
) -> None:
    """Load FILEs of customers. Loading a file again changes nothing.

    Read are JSON, JSON Lines, CSV and TSV, Excel workbooks (.xlsx) and vCards. Exports of HubSpot, Salesforce, Zendesk,
    Google Contacts and Outlook load as they are; a line says how their columns were understood.

    What is wrong is listed with line, field and reason. One wrong value costs the value, not the row; the rest is
    loaded, and the exit status is 1.

    With --replace, customers of earlier files that FILE does not have any more are found by nobody from then on; their
    history stays. If they are more than usual, nothing of that is done, and the message has the command to go on with.

    A load that was interrupted goes on where it was when the same file is loaded again.
    """
    _check_files(files, demo=demo, replace=replace)
    services = current_services()
    reading = fixtures.Reading(services.settings.default_region, _column_fields(mapping), _checked(encoding))
    services.clock.synchronize()
    is_complete = True
    for path in files or (fixtures.builtin_path(),):
        try:
            report = _load(services, path, reading, LoadRules(replaces=replace, accepted=accept))
        except errors.BrakeApplied as exc:
            options = [*(word for one in mapping for word in ("--map", one))]
            options += ["--encoding", encoding] if encoding else []
            options += ["--replace"] if replace else []
            command = shlex.join(["flask", "crm", "seed", *options, "--accept", str(exc.removed), str(path)])
            raise click.ClickException(f"{path.name}: {exc}, so it was stopped. If that is right: {command}") from exc
        _echo_report(path, report)
        is_complete &= not report.bad
    if not is_complete:
        raise SystemExit(1)


def _check_files(files: tuple[Path, ...], *, demo: bool, replace: bool) -> None:
    if bool(files) == demo:
        raise click.UsageError("Give a FILE of customers, or --demo for the invented ones.")
    if replace and len(files) != 1:
        raise click.UsageError("--replace takes one FILE, which has all customers.")


def _load(services: Services, path: Path, reading: fixtures.Reading, rules: LoadRules) -> SeedReport:
    """Load the file, from where an interrupted load of it stopped, and return the report.

    Raises FixtureFileError, StreamTaken, LeaseLost, BrakeApplied and DatabaseError.
    """
    reading = dataclasses.replace(reading, remark=partial(_echo_remark, path.name))
    load = begin_load(services.database, path, reading, now=services.clock.now, rules=rules)
    if load.rows_done:
        _echo_remark(path.name, f"going on after {load.rows_done:,} rows that were loaded before")
    with progress_of(path, load.rows_done) as progress:
        batches = batches_of(path, reading, kinds=services.rules.keys.kinds, skip_rows=load.rows_done)
        return load.run(batches, progress)


def _echo_remark(file_name: str, remark: str) -> None:
    click.echo(f"{file_name}: {remark}", err=True)


def _echo_report(path: Path, report: SeedReport) -> None:
    for row in report.bad:
        click.echo(f"{path.name}: {row}", err=True)
    if report.more_bad:
        click.echo(f"{path.name}: and {report.more_bad:,} more rows with something wrong", err=True)
    click.echo(
        f"{path.name}: {report.created} new, {report.changed} changed, {report.unchanged} unchanged"
        + (f", {report.removed} removed" if report.removed else "")
        + (f", {report.settled} partly as edited by staff" if report.settled else "")
        + (f", {report.incomplete} without some of their values" if report.incomplete else "")
        + (f", {report.not_loaded} not loaded" if report.not_loaded else "")
    )


def _column_fields(mapping: tuple[str, ...]) -> dict[str, str]:
    try:
        return columns.parse_mapping(mapping)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--map") from exc


def _checked(encoding: str | None) -> str | None:
    """Return the name of this encoding of text; raise BadParameter if there is none of this name."""
    try:
        "".encode(encoding or "utf-8")  # refuses codecs that are none of text, such as base64
    except LookupError as exc:
        raise click.BadParameter(str(exc), param_hint="--encoding") from exc
    return encoding


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


@crm.command("delete")
@click.argument("key")
@click.option("--kind", help="Kind of KEY, as for `crm lookup`.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def delete(key: str, kind: str | None, *, yes: bool) -> None:
    """Delete the customer of KEY: an id, or a number, address or id that is theirs alone.

    Nothing finds them any more, and no file brings them back. Their history stays; it can be undone on their page.
    """
    services = current_services()
    services.require_policy()
    customer = _only_customer(services, key, kind)
    with services.database.reading() as session:
        stored = read_customers(session.connection(), [customer.id])[customer.id]
    who = ", ".join(text for text in (customer.name, customer.company, customer.phone, customer.email) if text)
    click.echo(f"{customer.id}: {who}. {len(stored.identifiers)} numbers, addresses and ids lead to them.", err=True)
    if not yes:
        click.confirm("Delete this customer?", abort=True, err=True)
    resolver = Resolver(services.database, services.adapters, services.enricher, Actor(None, "flask crm delete"))
    resolved = resolver.delete(customer.id, stored.version)
    if isinstance(resolved, StaleEdit):
        raise click.ClickException(f"{customer.id} changed meanwhile, so nothing was deleted. Run it again.")
    address = f"{services.settings.public_url}/customers/{quote(customer.id)}"
    click.echo(f"Deleted {customer.id}. To undo it: the audit trail of {address}")


def _only_customer(services: Services, key: str, kind: str | None) -> FoundCustomer:
    """Return the customer of this id or key. Raises ClickException if that is not exactly one."""
    database = services.database
    named = search.customers(database, [key]) if kind is None else ()
    for customer in named:
        if customer.merged_into:
            raise click.ClickException(f"{key} is part of {customer.merged_into}. Delete that one, or split it off.")
        if customer.is_gone:
            raise click.ClickException(f"{key} is gone already.")
    keys = matching.lookup_keys(*_as_task(key, kind, None, services.rules.keys))
    candidates = services.adapters.store.find_candidates(keys)
    found = named or search.customers(database, sorted({one.customer_id for one in candidates}))
    if not found:
        raise click.ClickException(f"No customer has {key}.")
    if len(found) > 1:
        lines = "".join(f"\n  {one.id}: {one.name}" for one in found)
        raise click.ClickException(f"{len(found)} customers have {key}; give the id of one:{lines}")
    return found[0]


def _as_task(
    key: str | None, kind: str | None, attributes: str | None, rules: KeyRules
) -> tuple[dict[str, Any], KeyRules]:
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
        return {"key": key}, KeyRules.parse(f"key:{kind}", region=rules.region)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--kind") from exc
