"""Identifying a task's customer on the page, linking its number from now on, and undoing either.

Each form is posted, carried out (`enrich.flows.resolution`), and answered by a redirect to the task with a message that
says what happened. Viewers are refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from enrich.accounts import masking
from enrich.accounts.tables import Role
from enrich.customers import audit, records, search
from enrich.customers.audit import AuditEntry
from enrich.customers.fixture_rows import BadRow, CustomerFixture, read_customer
from enrich.customers.identifiers import STAFF, Identifier
from enrich.customers.records import Actor
from enrich.customers.search import FoundCustomer
from enrich.customers.undo import ChangedSince, UnreadableChange
from enrich.database.engine import Database
from enrich.database.types import MAX_ROW_ID
from enrich.flows.resolution import Resolution, Resolver
from enrich.journal import timeline
from enrich.journal.records import KeyFound, LookupFinding
from enrich.journal.timeline import Timeline
from enrich.pages import customer_form, formatting, labels
from enrich.pages.notices import Done, flash_resolution
from enrich.pages.sessions import local_path, needs, require_sign_in, sees_masked, signed_in
from enrich.services import Services, current_services

bp = Blueprint("settling", __name__)
bp.before_request(require_sign_in)

# Of a generated id: eight of these are neither guessed nor repeated.
_ID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


# Owners of one key shown at most: a number that more share identifies nobody.
MAX_OWNERS = 20


@dataclass(frozen=True, slots=True)
class KeyNow:
    """A look-up key of a task, and whose it is at this moment. token: as forms carry it."""

    key: KeyFound
    token: str
    owners: tuple[FoundCustomer, ...]


@bp.get("/tasks/<task_sid>/settle")
@needs(Role.EDITOR)
def form(task_sid: str) -> ResponseReturnValue:
    """Show the form that identifies a task's customer: its keys, candidates, and a form for a new customer."""
    services = current_services()
    return _form(services, _story(services.database, task_sid))


@bp.post("/tasks/<task_sid>/settle")
@needs(Role.EDITOR)
def settle(task_sid: str) -> ResponseReturnValue:
    """Carry out one decision about this task (`act`), and go back to it."""
    services = current_services()
    database, resolver = services.database, resolver_for_user(services, known_decision=_known_decision())
    story = _story(database, task_sid)
    act, customer_id = request.form.get("act", ""), request.form.get("customer", "")
    if act == "nobody":
        return _done(services, resolver.nobody(task_sid), story, Done.NOBODY)
    if act == "release":
        return _done(services, resolver.release(task_sid), story, Done.RELEASED)
    if act == "create":
        return _create(services, resolver, story)
    chosen = search.customers(database, [customer_id] if customer_id else [])
    if not chosen or not chosen[0].can_be_chosen:
        return _form(services, story, problem="Choose a customer."), 422
    (customer,) = chosen
    if act == "unlink":
        key = _key(database, story) or abort(400)
        return _done(services, resolver.unlink(task_sid, customer.id, key), story, Done.UNLINKED, key.kind)
    if act == "choose":
        own_key = _key(database, story)
        done, kind = (Done.LINKED, own_key.kind) if own_key else (Done.IDENTIFIED, "")
        return _done(services, resolver.choose(task_sid, customer.id, own_key), story, done, kind)
    return abort(400)


@bp.post("/tasks/<task_sid>/enrich")
@needs(Role.EDITOR)
def enrich_again(task_sid: str) -> ResponseReturnValue:
    """Enrich the task from a fresh read, and go back to it."""
    services = current_services()
    story = _story(services.database, task_sid)
    return _done(services, resolver_for_user(services).enrich_again(task_sid), story, Done.ENRICHED)


@bp.post("/tasks/<task_sid>/replay")
@needs(Role.EDITOR)
def replay(task_sid: str) -> ResponseReturnValue:
    """Replay the enrichment of a stored callback (`entry`), and go back to the task."""
    services = current_services()
    entry = request.form.get("entry", "")
    entry_id = int(entry) if entry.isascii() and entry.isdecimal() and len(entry) < 19 else None
    story = _story(services.database, task_sid, entry_id=entry_id)
    if not story.shown.is_callback or not story.shown.raw_form:
        return abort(400)
    settled = resolver_for_user(services).replay(task_sid, story.shown.raw_form)
    return _done(services, settled, story, Done.REPLAYED)


@bp.post("/changes/<int:audit_id>/undo")
@needs(Role.EDITOR)
def undo(audit_id: int) -> ResponseReturnValue:
    """Undo one change, and go back to the page before (`back`)."""
    back = local_path(request.form.get("back")) or url_for("pages.tasks")
    task_sid = request.form.get("task_sid") or None
    if audit_id > MAX_ROW_ID or (task_sid and not formatting.is_plain_sid(task_sid)):
        return abort(404)
    services = current_services()
    undone = resolver_for_user(services).undo(audit_id, task_sid)
    if isinstance(undone, UnreadableChange):
        return render_template("conflict.html", what=(), back=back), 409
    if isinstance(undone, ChangedSince):
        return render_template("conflict.html", what=undone.what, back=back), 409
    flash_resolution(Done.UNDONE, undone)
    return redirect(url_for("customers.index") if _is_gone(services.database, undone, back) else back, 303)


def trail_of(database: Database, task_sid: str | None) -> tuple[AuditEntry, ...]:
    """Return the audit trail of this task, newest first."""
    if not formatting.is_plain_sid(task_sid):
        return ()
    with database.reading() as session:
        return audit.entries_of_task(session, task_sid or "")


@bp.app_template_global()
def key_shown(kind: str, value: str) -> Markup:
    """Return the value of a look-up key; for a viewer, masked but still distinguishable."""
    return formatting.visible(masking.key(kind, value) if sees_masked() else value)


@bp.app_template_global()
def change_label(change: AuditEntry, trail: Sequence[AuditEntry] = ()) -> str:
    """Return the text of one row of this audit trail."""
    return labels.change(change, trail)


def _is_gone(database: Database, undone: Resolution, back: str) -> bool:
    """Return whether `back` is the page of a customer whose creation was undone."""
    affected = undone.change.customers if undone.change else frozenset()
    shown = [one for one in affected if urlsplit(back).path == url_for("customers.customer", customer_id=one)]
    return bool(shown) and not search.customers(database, shown)


def resolver_for_user(services: Services, known_decision: int | None = None) -> Resolver:
    """Return the resolver that carries out, and records, the signed-in user's decisions."""
    user = signed_in() or abort(403)
    actor = Actor(user.id, user.name or user.email)
    return Resolver(services.database, services.adapters, services.enricher, actor, known_decision)


def new_customer_id() -> str:
    """Generate an id for a customer created here and not in the CRM: "S-" and eight letters and digits."""
    return "S-" + "".join(secrets.choice(_ID_LETTERS) for _ in range(8))


def read_form(services: Services, customer_id: str, values: customer_form.Values) -> CustomerFixture | BadRow:
    """Return the customer that this form describes, or its problems."""
    rules = services.rules.keys
    return read_customer(customer_form.to_raw(customer_id, values), rules.region, kinds=rules.kinds)


def _create(services: Services, resolver: Resolver, story: Timeline) -> ResponseReturnValue:
    values = customer_form.empty() | {name: request.form.get(name, "").strip() for name in ("name", "company", "tier")}
    customer_id = new_customer_id()
    read = read_form(services, customer_id, values)
    if isinstance(read, BadRow):
        return _form(services, story, new=values, problems=customer_form.problems(read.problems, values)), 422
    settled = resolver.create(story.task_sid, read, _key(services.database, story))
    return _done(services, settled, story, Done.ASSIGNED)


def _form(
    services: Services,
    story: Timeline,
    *,
    problem: str = "",
    new: customer_form.Values | None = None,
    problems: dict[str, tuple[str, ...]] | None = None,
) -> str:
    query = request.values.get("q", "").strip()
    database = services.database
    finding = timeline.last_finding(database, story.task_sid or "")
    keys = _keys_now(database, finding)
    matches = find(services, query)
    owners = [owner for key in keys for owner in key.owners]
    candidates = search.customers(database, [candidate.customer_id for candidate in finding.candidates])
    choices = _distinct([*owners, *candidates, *matches])
    with database.reading() as session:
        decision = audit.newest_decision(session, story.task_sid or "")
    return render_template(
        "tasks/settle.html",
        story=story,
        keys=keys,
        is_readable=finding.is_readable,
        choices=[one for one in choices if one.can_be_chosen],
        query=query,
        matches=matches,
        chosen=request.form.get("customer", ""),
        problem=problem,
        back=_back(story),
        known_decision=decision.id if decision else 0,
        new=new or customer_form.empty(),
        problems=problems or {},
        now=services.adapters.now(),
    )


def find(services: Services, query: str) -> tuple[FoundCustomer, ...]:
    """Return the customers that match the search, by name, id or look-up key."""
    rules = services.rules.keys
    return search.find_customers(services.database, query, kinds=rules.kinds, region=rules.region)


def _keys_now(database: Database, finding: LookupFinding) -> tuple[KeyNow, ...]:
    """Return the keys by which this task was looked up, each with its present owners."""
    keys = [key for key in finding.keys if key.kind != STAFF]
    with database.reading() as session:
        owners = {key: records.owners(session, Identifier(key.kind, key.value))[:MAX_OWNERS] for key in keys}
    ids = dict.fromkeys(customer_id for ids_of_key in owners.values() for customer_id in ids_of_key)
    by_id = {customer.id: customer for customer in search.customers(database, list(ids))}
    return tuple(KeyNow(key, _token(key), tuple(by_id[one] for one in owners[key] if one in by_id)) for key in keys)


def _key(database: Database, story: Timeline) -> Identifier | None:
    """Return the key that the form names; None for this task only. Aborts if it is not one of the task's."""
    token = request.form.get("key", "")
    if not token:
        return None
    finding = timeline.last_finding(database, story.task_sid or "")
    key_found = next((key for key in finding.keys if key.kind != STAFF and _token(key) == token), None)
    return Identifier(key_found.kind, key_found.value) if key_found else abort(400)


def _token(key: KeyFound) -> str:
    return urlencode({key.kind: key.value})


def _distinct(customers: Iterable[FoundCustomer]) -> list[FoundCustomer]:
    return list({customer.id: customer for customer in customers}.values())


def _story(database: Database, task_sid: str, entry_id: int | None = None) -> Timeline:
    if not formatting.is_plain_sid(task_sid):
        abort(404)
    return timeline.task_timeline(database, task_sid, entry_id=entry_id) or abort(404)


def _back(story: Timeline) -> str:
    """Return the address of the task as the reader had it, with the filter of the list beside it."""
    return local_path(request.values.get("back")) or url_for("pages.task", task_sid=story.task_sid)


def _known_decision() -> int:
    """Return the id of the newest decision about the task that the form showed; 0 for none."""
    value = request.form.get("decision", "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else 0


def _done(
    services: Services, settled: Resolution, story: Timeline, done: Done, key_kind: str = ""
) -> ResponseReturnValue:
    newer = settled.overtaken_by
    if newer is not None:
        ago = formatting.ago(newer.at, services.adapters.now())
        problem = f"Nothing was changed: {newer.by} {labels.change(newer)} ({ago}). Decide again if you disagree."
        return _form(services, story, problem=problem), 409
    flash_resolution(done, settled, key_kind)
    return redirect(_back(story), 303)
