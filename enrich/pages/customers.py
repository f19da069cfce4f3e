"""Customers on the page: find, look at, make, edit, merge, split, delete. Who may only look sees them masked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts.tables import Role
from enrich.customers import audit, explanation, records, search
from enrich.customers.fixture_rows import BadRow, CustomerFixture
from enrich.customers.identifiers import Identifier
from enrich.customers.search import FoundCustomer
from enrich.customers.spelling import is_storable
from enrich.database.engine import Database
from enrich.flows.resolution import StaleEdit
from enrich.journal import contacts
from enrich.pages import customer_form, origins
from enrich.pages.customer_form import Form, Values
from enrich.pages.feed_query import by_id
from enrich.pages.notices import Done, flash_resolution
from enrich.pages.resolution import find, new_customer_id, read_form, resolver_for_user
from enrich.pages.sessions import needs, require_sign_in, sees_masked
from enrich.services import Services, current_services


@dataclass(frozen=True, slots=True)
class SharedIdentifier:
    """An identifier that other customers have, too."""

    key: Identifier
    owners: tuple[FoundCustomer, ...]


bp = Blueprint("customers", __name__)
bp.before_request(require_sign_in)


@bp.before_request
def refuse_ids_of_nobody() -> None:
    """Respond with 404 for an id that no customer can have, and that PostgreSQL refuses in a query."""
    if not is_storable((request.view_args or {}).get("customer_id", "")):
        abort(404)


# What comes back in the form's hidden field: a record with its notes may be long, but not longer than this.
MAX_BASE_LENGTH = 500_000
MAX_INTERACTIONS = 20


@bp.get("/customers")
def index() -> ResponseReturnValue:
    """List the customers that match the search (`q`); without one, the most recent contacts.

    A viewer, who is not shown names and numbers, cannot try them out either: they find by id only.
    """
    query = request.args.get("q", "").strip()
    services = current_services()
    database = services.database
    recent = () if query else search.customers(database, contacts.recent_customer_ids(database))
    by_id_only = sees_masked()
    matches = search.customers(database, by_id(query)) if by_id_only else find(services, query)
    return render_template("customers/index.html", query=query, matches=matches, recent=recent, by_id_only=by_id_only)


@bp.get("/customers/<path:customer_id>")
def customer(customer_id: str) -> ResponseReturnValue:
    """Show one customer: their record, where it comes from, their tasks, and the audit trail."""
    return _customer_page(current_services(), customer_id)


def _customer_page(services: Services, customer_id: str, problem: str = "") -> str:
    with services.database.reading() as session:
        record = records.read(session, [customer_id])[customer_id] or abort(404)
        version = records.version(session, customer_id)
        is_gone = records.is_gone(session, customer_id)
        is_readable = records.has_readable_settled(session, customer_id)
        merged = records.merged_into(session, customer_id)
        trail = audit.entries_of_customer(session, customer_id)
        explained = explanation.explain(session, customer_id)
    return render_template(
        "customers/customer.html",
        id=customer_id,
        record=record,
        version=version,
        problem=problem,
        is_gone=is_gone,
        is_readable=is_readable,
        origins=origins.of(customer_id, explained) if explained else None,
        shared=_with_owners(services.database, explained.other_owners) if explained else (),
        identifiers=_identifiers(customer_id, record),
        merged=merged,
        trail=trail,
        interactions=services.adapters.store.interactions_of(customer_id, at_most=MAX_INTERACTIONS),
        history=contacts.history(services.database, (customer_id, *merged)),
        now=services.adapters.now(),
    )


@bp.post("/customers/<path:customer_id>/split")
@needs(Role.EDITOR)
def split(customer_id: str) -> ResponseReturnValue:
    """Split one part (`part`) off the customer, and show the customer; or say that they changed meanwhile."""
    services = current_services()
    version, part = _version(request.form.get("version", "")), request.form.get("part", "")
    settled = resolver_for_user(services).split(customer_id, part, version) if version else None
    if settled is None or isinstance(settled, StaleEdit):
        problem = "The customer changed meanwhile, so nothing was split off. These are their current details."
        return _customer_page(services, customer_id, problem), 409
    flash_resolution(Done.SPLIT, settled)
    return redirect(url_for("customers.customer", customer_id=customer_id), 303)


@bp.get("/customers/<path:customer_id>/delete")
@needs(Role.EDITOR)
def delete(customer_id: str) -> ResponseReturnValue:
    """Say what deleting the customer does, and ask."""
    return _delete_page(current_services(), customer_id)


@bp.post("/customers/<path:customer_id>/delete")
@needs(Role.EDITOR)
def do_delete(customer_id: str) -> ResponseReturnValue:
    """Delete the customer and show them, who can be restored; or ask again, if they changed meanwhile."""
    services = current_services()
    version = _version(request.form.get("version", ""))
    settled = resolver_for_user(services).delete(customer_id, version) if version else None
    if settled is None or isinstance(settled, StaleEdit):
        return _delete_page(services, customer_id, is_stale=True), 409
    flash_resolution(Done.DELETED, settled)
    return redirect(url_for("customers.customer", customer_id=customer_id), 303)


def _delete_page(services: Services, customer_id: str, *, is_stale: bool = False) -> str:
    record, version = _record(services.database, customer_id)
    with services.database.reading() as session:
        parts = records.merged_into(session, customer_id)
    return render_template(
        "customers/delete.html",
        id=customer_id,
        record=record,
        version=version,
        identifiers=_identifiers(customer_id, record),
        parts=parts,
        is_stale=is_stale,
    )


@bp.get("/new-customer")
@needs(Role.EDITOR)
def new() -> ResponseReturnValue:
    """Show the form for a new customer."""
    return _form_page("", Form(customer_form.empty()))


@bp.post("/new-customer")
@needs(Role.EDITOR)
def create() -> ResponseReturnValue:
    """Create the customer and show it; or show the form again with its problems."""
    services = current_services()
    values = _values()
    customer_id = request.form.get("id", "").strip() or new_customer_id()
    read = read_form(services, customer_id, values)
    if isinstance(read, BadRow):
        form = Form(values, customer_form.problems(read.problems, values))
        return _form_page("", form, given_id=customer_id), 422
    shared = _shared(services.database, customer_id, read)
    if shared and _ownership() is None:
        return _form_page("", Form(values), given_id=customer_id, shared=shared), 422
    settled = resolver_for_user(services).create(None, read, None, _moved(shared))
    if settled.change is None:
        form = Form(values, {"id": ("A customer with this id already exists.",)})
        return _form_page("", form, given_id=customer_id), 422
    flash_resolution(Done.CREATED, settled)
    return redirect(url_for("customers.customer", customer_id=customer_id), 303)


@bp.get("/customers/<path:customer_id>/edit")
@needs(Role.EDITOR)
def edit(customer_id: str) -> ResponseReturnValue:
    """Show the form with the customer's record."""
    record, version = _record(current_services().database, customer_id)
    values = customer_form.of_record(customer_id, record)
    return _form_page(customer_id, Form(values), version=version, base=values)


@bp.post("/customers/<path:customer_id>/edit")
@needs(Role.EDITOR)
def save(customer_id: str) -> ResponseReturnValue:
    """Save the form and show the customer; or the form again, if it has problems or another user saved first."""
    services = current_services()
    values, base = _values(), _base()
    version = request.form.get("version", "")
    read = read_form(services, customer_id, values)
    if isinstance(read, BadRow):
        form = Form(values, customer_form.problems(read.problems, values))
        return _form_page(customer_id, form, version=version, base=base), 422

    shared = _shared(services.database, customer_id, read)
    if shared and _ownership() is None:
        return _form_page(customer_id, Form(values), version=version, base=base, shared=shared), 422

    settled = resolver_for_user(services).edit(customer_id, _version(version), read, _moved(shared))
    if isinstance(settled, StaleEdit):
        if settled.record is None:
            return abort(404)
        record, version_now = _record(services.database, customer_id)
        theirs = customer_form.of_record(customer_id, record)
        form = customer_form.three_way(values, base, theirs)
        return _form_page(customer_id, form, version=version_now, base=theirs, is_stale=True), 409
    flash_resolution(Done.SAVED, settled)
    return redirect(url_for("customers.customer", customer_id=customer_id), 303)


@bp.get("/customers/<path:customer_id>/merge")
@needs(Role.EDITOR)
def merge(customer_id: str) -> ResponseReturnValue:
    """Merge two customers: a search for the other one, then both side by side (`other`)."""
    return _merge_page(current_services(), customer_id, request.args.get("other", ""))


@bp.post("/customers/<path:customer_id>/merge")
@needs(Role.EDITOR)
def do_merge(customer_id: str) -> ResponseReturnValue:
    """Merge the two and show the kept one (`kept`); or both again, if they were changed meanwhile."""
    services = current_services()
    other, kept = request.form.get("other", ""), request.form.get("kept", "")
    if kept not in (customer_id, other) or other in ("", customer_id) or not is_storable(other):
        return abort(400)
    gone = other if kept == customer_id else customer_id
    versions = {key: version for key in (customer_id, other) if (version := _submitted_version(key)) is not None}
    settled = resolver_for_user(services).merge(kept, gone, versions)
    if isinstance(settled, StaleEdit):
        return _merge_page(services, customer_id, other, is_stale=True), 409
    flash_resolution(Done.MERGED, settled)
    return redirect(url_for("customers.customer", customer_id=kept), 303)


def _submitted_version(customer_id: str) -> int | None:
    """Return the version of one of the two in the form: `version` in the order of `of`."""
    versions = dict(zip(request.form.getlist("of"), request.form.getlist("version"), strict=False))
    return _version(versions.get(customer_id, ""))


def _version(text: str) -> int | None:
    """Return the version of a customer that a form has; None if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _merge_page(services: Services, customer_id: str, other_id: str, *, is_stale: bool = False) -> str:
    record, version = _record(services.database, customer_id)
    query = request.args.get("q", "").strip()
    other = None
    if other_id not in ("", customer_id) and is_storable(other_id):
        other_record, other_version = _record(services.database, other_id, of_other=True)
        other = {
            "id": other_id,
            "version": other_version,
            "values": customer_form.of_record(other_id, other_record),
            "merged_into": other_record["merged_into"],
        }
    return render_template(
        "customers/merge.html",
        one={
            "id": customer_id,
            "version": version,
            "values": customer_form.of_record(customer_id, record),
            "merged_into": record["merged_into"],
        },
        other=other,
        query=query,
        matches=[match for match in find(services, query) if match.id != customer_id and match.can_be_chosen],
        fields=customer_form.FIELDS,
        field_labels=customer_form.LABELS,
        lines=customer_form.as_lines,
        is_stale=is_stale,
    )


def _form_page(
    customer_id: str,
    form: Form,
    *,
    given_id: str = "",
    version: int | str | None = "",
    base: Values | None = None,
    is_stale: bool = False,
    shared: Sequence[SharedIdentifier] = (),
) -> str:
    return render_template(
        "customers/form.html",
        id=customer_id,
        given_id=given_id,
        form=form,
        field_labels=customer_form.LABELS,
        version=version,
        base=json.dumps(base) if base is not None else "",
        is_stale=is_stale,
        shared=shared,
    )


def _shared(database: Database, customer_id: str, read: CustomerFixture) -> list[SharedIdentifier]:
    """Return the identifiers of the form that this customer does not have yet and others have."""
    with database.reading() as session:
        # The switchboard of an extension is everybody's behind it.
        switchboards = {key.value.partition(";ext=")[0] for key in read.identifiers if ";ext=" in key.value}
        keys = [key for key in read.identifiers if key.value not in switchboards]
        owners = {key: records.owners(session, key) for key in keys}
    return _with_owners(database, {key: ids for key, ids in owners.items() if ids and customer_id not in ids})


def _ownership() -> str | None:
    """Return the reader's answer for identifiers that others have: "share" or "move"; None if not answered."""
    answer = request.form.get("ownership", "")
    return answer if answer in ("share", "move") else None


def _moved(shared: Sequence[SharedIdentifier]) -> list[Identifier]:
    return [one.key for one in shared] if _ownership() == "move" else []


def _values() -> Values:
    return customer_form.of_form(lambda name: request.form.get(name, ""), request.form.getlist)


def _base() -> Values:
    """Return the values that the form was made with; an empty form if the browser sends nothing of that shape."""
    written = request.form.get("base", "")
    try:
        read: Any = json.loads(written) if len(written) <= MAX_BASE_LENGTH else None
    except (ValueError, RecursionError):
        read = None
    return read if customer_form.is_values(read) else customer_form.empty()


def _record(database: Database, customer_id: str, *, of_other: bool = False) -> tuple[records.Record, int | None]:
    """Return a customer's record and version, for a form.

    Leads to their page instead if they are gone or, unless this is the other one of two, part of another customer.
    """
    with database.reading() as session:
        record = records.read(session, [customer_id])[customer_id] or abort(404)
        if records.is_gone(session, customer_id) or (record["merged_into"] and not of_other):
            abort(redirect(url_for("customers.customer", customer_id=customer_id), 303))
        return record, records.version(session, customer_id)


def _with_owners(database: Database, owners: Mapping[Identifier, Sequence[str]]) -> list[SharedIdentifier]:
    """Return these identifiers with the customers that have them, read at once. owners: their ids."""
    found = search.customers(database, list({one for ids in owners.values() for one in ids}))
    by_id = {customer.id: customer for customer in found}
    return [
        SharedIdentifier(key, tuple(by_id[owner] for owner in ids if owner in by_id)) for key, ids in owners.items()
    ]


def _identifiers(customer_id: str, record: records.Record) -> list[dict[str, str]]:
    """Return the customer's identifiers for the page: normal form and original spelling, without their own id."""
    return [
        {"kind": kind, "value": value, "as_written": as_written, "source": source}
        for kind, value, as_written, source in record["identifiers"]
        if not (kind == "customer_id" and as_written == customer_id)
    ]
