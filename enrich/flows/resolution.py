"""What staff decide, carried out: the change with its row in the trail, the live task enriched anew, the others owed.

    change      within one transaction: what changes, who did it, and the enrichment that is owed because of it
    enrich      the task that the reader is looking at, at once, along the same line as everything else (enrichment.py)
    owed        every other open task of that caller, or of these customers, by a follow-up of its own

The enrichment of the live task is owed from the start and marked done when it was: whatever happens in between, the
worker will do it. Nothing here waits longer than `LIVE_S`.

Two answers to "who is this?" are kept apart. *This task only* says whose this one task is (a pin). *From now on* says
whose the number, address or id is, and nobody else's; where that alone does not settle the task, because the key is
only claimed or others on the task lead elsewhere, the task is pinned as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers import audit, editing
from enrich.customers.audit import Actor, AuditAction, AuditedChange, ChangedSince, Scope
from enrich.customers.identifiers import Identifier
from enrich.database.engine import Database
from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.deliveries import Delivery, NewFollowup
from enrich.domain.matches import Trust
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.flows import lifecycle
from enrich.flows.enrichment import TaskRef, enrich
from enrich.flows.work import Adapters, EnrichmentRun, conclusion_of, too_slow
from enrich.journal import contacts
from enrich.journal.followups import Owes
from enrich.taskrouter import callbacks

# The reader waits for it. What takes longer is the worker's.
LIVE_S = 4.0
# Until then nobody else tries: longer than we take.
OURS_FOR = timedelta(seconds=10)

Record = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResolutionContext:
    """What a decision is carried out with, and by whom."""

    database: Database
    adapters: Adapters
    by: Actor


@dataclass(frozen=True, slots=True)
class LiveEnrichment:
    """How enriching the live task ended. is_owed: the worker will do it later. entry_id: of the journal's row."""

    outcome: Outcome
    reason: str
    is_owed: bool
    entry_id: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was changed: None if it was so already. live: None where no task was being looked at, or nothing changed.

    others: how many other open tasks are enriched anew by follow-ups.
    """

    change: AuditedChange | None
    live: LiveEnrichment | None = None
    others: int = 0


@dataclass(frozen=True, slots=True)
class StaleEdit:
    """Nothing was changed: somebody changed this customer since the reader's form was made, or they are gone (None)."""

    customer_id: str
    record: Record | None


# --- who is this?


def choose(desk: ResolutionContext, task_sid: str, customer_id: str, key: Identifier | None) -> Resolution:
    """This task is this customer's. key: from now on this one is, too; None: this task only."""

    def decide(session: Session) -> AuditedChange | None:
        at = desk.adapters.now()
        if key is None:
            return audit.change(
                session,
                Scope(tasks=frozenset({task_sid})),
                AuditAction.PINNED,
                desk.by,
                at,
                lambda: audit.pin(session, task_sid, customer_id, desk.by, at),
                task_sid=task_sid,
                customer_id=customer_id,
            )
        return audit.change(
            session,
            Scope(keys=frozenset({key}), tasks=frozenset({task_sid})),
            AuditAction.LINKED,
            desk.by,
            at,
            lambda: _give(desk, session, task_sid, customer_id, key),
            task_sid=task_sid,
            customer_id=customer_id,
        )

    return _carry_out(desk, decide, task_sid)


def create(
    desk: ResolutionContext, task_sid: str | None, customer_id: str, record: Record, key: Identifier | None
) -> Resolution:
    """This customer is new; the task, if there is one, is theirs, and the key from now on, if one is given.

    Settled with no change where somebody of that id is there already.
    """
    tasks = frozenset({task_sid} if task_sid else ())

    def decide(session: Session) -> AuditedChange | None:
        at = desk.adapters.now()
        if audit.records(session, [customer_id])[customer_id] is not None:
            return None

        def act() -> None:
            audit.put(session, customer_id, record, at)
            if task_sid and key:
                _give(desk, session, task_sid, customer_id, key)
            elif task_sid:
                audit.pin(session, task_sid, customer_id, desk.by, at)

        scope = Scope(frozenset({customer_id}), frozenset({key} if task_sid and key else ()), tasks)
        return audit.change(
            session, scope, AuditAction.CREATED, desk.by, at, act, task_sid=task_sid, customer_id=customer_id
        )

    return _carry_out(desk, decide, task_sid)


def nobody(desk: ResolutionContext, task_sid: str) -> Resolution:
    """This task is none of theirs who were found."""

    def decide(session: Session) -> AuditedChange | None:
        at, scope = desk.adapters.now(), Scope(tasks=frozenset({task_sid}))
        act = partial(audit.pin, session, task_sid, None, desk.by, at)
        return audit.change(session, scope, AuditAction.NOBODY, desk.by, at, act, task_sid=task_sid)

    return _carry_out(desk, decide, task_sid)


def release(desk: ResolutionContext, task_sid: str) -> Resolution:
    """Nothing is said of this task any more; its details decide."""

    def decide(session: Session) -> AuditedChange | None:
        scope = Scope(tasks=frozenset({task_sid}))
        act = partial(audit.release, session, task_sid)
        return audit.change(session, scope, AuditAction.RELEASED, desk.by, desk.adapters.now(), act, task_sid=task_sid)

    return _carry_out(desk, decide, task_sid)


def unlink(desk: ResolutionContext, task_sid: str | None, customer_id: str, key: Identifier) -> Resolution:
    """This key is not this customer's; nor is the task, if it was said to be."""

    def decide(session: Session) -> AuditedChange | None:
        at = desk.adapters.now()

        def act() -> None:
            audit.take(session, key, customer_id, at)
            if task_sid:
                audit.release(session, task_sid)

        scope = Scope(keys=frozenset({key}), tasks=frozenset({task_sid} if task_sid else ()))
        return audit.change(
            session, scope, AuditAction.UNLINKED, desk.by, at, act, task_sid=task_sid, customer_id=customer_id
        )

    return _carry_out(desk, decide, task_sid)


# --- customers


def edit(
    desk: ResolutionContext, customer_id: str, version: int | None, become: Callable[[Record], Record]
) -> Resolution | StaleEdit:
    """The customer's record is what `become` makes of it, if nobody changed it since this version."""
    stale: list[StaleEdit] = []

    def decide(session: Session) -> AuditedChange | None:
        at = desk.adapters.now()
        audit.wait_for_others(session)
        record = audit.records(session, [customer_id])[customer_id]
        if record is None or audit.version(session, customer_id) != version:
            stale.append(StaleEdit(customer_id, record))
            return None
        scope = Scope(customers=frozenset({customer_id}))

        def act() -> None:
            audit.put(session, customer_id, become(record), at)

        return audit.change(session, scope, AuditAction.EDITED, desk.by, at, act, customer_id=customer_id)

    settled = _carry_out(desk, decide, None)
    return stale[0] if stale else settled


def merge(desk: ResolutionContext, kept_id: str, gone_id: str, versions: Mapping[str, int]) -> Resolution | StaleEdit:
    """The second customer becomes part of the first. versions: of both, as the reader saw them."""
    stale: list[StaleEdit] = []

    def decide(session: Session) -> AuditedChange | None:
        at = desk.adapters.now()
        audit.wait_for_others(session)
        before = audit.records(session, [kept_id, gone_id])
        for one in (kept_id, gone_id):
            record = before[one]
            if record is None or record["merged_into"] or audit.version(session, one) != versions.get(one):
                stale.append(StaleEdit(one, record))
                return None
        chained, pinned = audit.merged_into(session, gone_id), audit.pinned_to(session, gone_id)
        scope = Scope(frozenset({kept_id, gone_id, *chained}), tasks=frozenset(pinned))

        def act() -> None:
            kept, gone = before[kept_id] or {}, before[gone_id] or {}
            kept, gone = editing.merged(kept, gone, kept_id=kept_id, gone_id=gone_id)
            audit.put(session, gone_id, gone, at)
            audit.put(session, kept_id, kept, at)
            for one, record in audit.records(session, chained).items():
                audit.put(session, one, {**(record or {}), "merged_into": kept_id}, at)
            for task_sid in pinned:
                audit.pin(session, task_sid, kept_id, desk.by, at)

        return audit.change(session, scope, AuditAction.MERGED, desk.by, at, act, customer_id=kept_id)

    settled = _carry_out(desk, decide, None)
    return stale[0] if stale else settled


# --- again


def undo(desk: ResolutionContext, audit_id: int, task_sid: str | None) -> Resolution | ChangedSince:
    """What this row of the trail changed is as it was before; or what stands in the way.

    task_sid: the task that the reader is looking at.
    """
    refused: list[ChangedSince] = []

    def decide(session: Session) -> AuditedChange | None:
        done = audit.undo(session, audit_id, desk.by, desk.adapters.now())
        if isinstance(done, ChangedSince):
            refused.append(done)
            return None
        return done

    settled = _carry_out(desk, decide, task_sid)
    return refused[0] if refused else settled


def enrich_again(desk: ResolutionContext, task_sid: str) -> Resolution:
    """The task, enriched from a fresh read."""
    return _again(desk, task_sid, AuditAction.ENRICHED)


def replay(desk: ResolutionContext, task_sid: str, raw_form: str) -> Resolution:
    """The enrichment of a stored callback, done again: its form is read anew, and the task is fetched as it is now."""
    try:
        form = callbacks.read_form(callbacks.split_form(raw_form.encode("utf-8", "replace")))
        callbacks.parse_assignment(form)
    except errors.MalformedPayload as exc:
        return _again(desk, task_sid, AuditAction.REPLAYED, cannot=exc)
    return _again(desk, task_sid, AuditAction.REPLAYED)


def _again(
    desk: ResolutionContext, task_sid: str, action: AuditAction, cannot: errors.MalformedPayload | None = None
) -> Resolution:
    with desk.database.transaction() as session:
        audit.note(session, action, desk.by, desk.adapters.now(), task_sid=task_sid)
        owed = _owe_live(desk, session, task_sid)
    return Resolution(None, live=_enrich_now(desk, *owed, cannot=cannot) if owed else None)


# --- carried out


def _give(desk: ResolutionContext, session: Session, task_sid: str, customer_id: str, key: Identifier) -> None:
    """The key is theirs from now on, and the task is, by the key alone or by a pin."""
    at = desk.adapters.now()
    audit.give(session, key, customer_id, at)
    if decides_alone(contacts.last_finding(session, task_sid), key):
        audit.release(session, task_sid)
    else:
        audit.pin(session, task_sid, customer_id, desk.by, at)


def decides_alone(finding: Mapping[str, Any] | None, key: Identifier) -> bool:
    """Whether a task with this finding is settled when the key has one owner: it is verified, and alone in leading."""
    keys = [one for one in (finding or {}).get("keys") or () if one.get("trust") == Trust.VERIFIED]
    here = [one for one in keys if (one.get("kind"), one.get("value")) == (key.kind, key.value)]
    others = [one for one in keys if one not in here and one.get("found") and one.get("attribute") != "TaskSid"]
    return bool(here) and not others


def _carry_out(
    desk: ResolutionContext, decide: Callable[[Session], AuditedChange | None], task_sid: str | None
) -> Resolution:
    with desk.database.transaction() as session:
        made = decide(session)
        if made is None:
            return Resolution(None)
        now = desk.adapters.now()
        owed = _owe_live(desk, session, task_sid) if task_sid else None
        for finished in {task_sid, *made.tasks} - {None}:  # what is in somebody's history may be another's now
            woken = NewFollowup(FollowupKind.FINISHED, now, lifecycle.finished_key(str(finished)))
            Owes.wake(session.connection(), woken)
        others = contacts.open_tasks(
            session,
            keys=[(key.kind, key.value) for key in made.keys],
            customer_ids=made.records,
            task_sids=made.tasks,
            now=now,
            but=task_sid,
        )
        contacts.owe_enrichment(session, [one.entry_id for one in others], now=now, due_at=now)
    return Resolution(made, live=_enrich_now(desk, *owed) if owed else None, others=len(others))


def _owe_live(desk: ResolutionContext, session: Session, task_sid: str) -> tuple[int, Delivery] | None:
    """The follow-up that we try ourselves, and what is recorded of it; None where the journal knows no such task."""
    now = desk.adapters.now()
    newest = contacts.newest_entry(session, task_sid)
    if newest is None:
        return None
    (followup_id,) = contacts.owe_enrichment(session, [newest.id], now=now, due_at=now + OURS_FOR)
    delivery = Delivery(
        kind=EntryKind.STAFF,
        received_at=now,
        workspace_sid=newest.workspace_sid,
        task_sid=task_sid,
        reservation_sid=newest.reservation_sid,
        worker_sid=newest.worker_sid,
        worker_name=newest.worker_name,
    )
    return followup_id, delivery


def _enrich_now(
    desk: ResolutionContext, followup_id: int, delivery: Delivery, cannot: errors.MalformedPayload | None = None
) -> LiveEnrichment:
    work, deadline, adapters = EnrichmentRun(), Deadline.after(LIVE_S), desk.adapters
    if cannot is not None:
        work.ended(Outcome.MALFORMED, cannot.reason)
    else:
        _try(work, TaskRef(delivery.workspace_sid, delivery.task_sid or ""), adapters, deadline)
    at = adapters.now()
    entry_id = adapters.journal.record(delivery, conclusion_of(work, deadline.elapsed_ms()), at=at)
    is_over = work.outcome in (Outcome.ENRICHED, Outcome.GONE)
    contacts.settle_followup(desk.database, followup_id, now=at, done=is_over, reason=work.reason, again=work.retryable)
    outcome = work.outcome or Outcome.FAILED
    return LiveEnrichment(outcome, work.reason, is_owed=not is_over and work.retryable, entry_id=entry_id)


def _try(work: EnrichmentRun, subject: TaskRef, adapters: Adapters, deadline: Deadline) -> None:
    try:
        with adapters.time_limit(LIVE_S):
            enrich(work, subject, adapters, deadline)
    except OutOfTime:
        if work.outcome is None:
            work.ended(Outcome.OUT_OF_TIME, too_slow(work), retryable=True)
    except Exception:  # as in the callback: recorded, and tried again
        log.exception("enriching for staff failed", extra={"task_sid": subject.task_sid})
        work.ended(Outcome.FAILED, Reason.FAILED, retryable=True)
