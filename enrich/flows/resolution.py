"""The resolution of customers by staff: identify, link, edit, merge, undo.

    change      in one transaction: the change, its row in the audit trail, and the follow-ups that it causes
    enrich      the task that the reader is looking at, at once (`enrichment`)
    follow-ups  one for every other open task of that caller, or of these customers

The enrichment of the live task is in the queue from the start and marked as done afterwards: if the process dies in
between, the worker does it. Nothing here waits longer than `LIVE_S`.

Two decisions are kept apart. *This task only* identifies the customer of one task (a pin). *From now on* gives a
number, address or id to one customer alone; where that alone does not identify the task's customer, because the key
is only claimed or other keys of the task lead elsewhere, the task is pinned as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers import audit, decisions, editing, records
from enrich.customers.audit import AuditAction, AuditedChange, AuditEntry
from enrich.customers.fixture_rows import CustomerFixture
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import Decision
from enrich.customers.records import Actor, Scope
from enrich.customers.undo import ChangedSince, UnreadableChange, undo_change
from enrich.database.engine import Database
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Delivery, NewFollowup, delivery_about
from enrich.domain.matches import Trust
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome
from enrich.flows import lifecycle
from enrich.flows.adapters import Adapters
from enrich.flows.enrichment import Enricher, TaskRef
from enrich.flows.run import EnrichmentRun
from enrich.journal import contacts
from enrich.journal.followup_inserts import FollowupInserts
from enrich.journal.records import LookupFinding
from enrich.taskrouter import callbacks

# The reader waits for it; what takes longer is left to the worker.
LIVE_S = 4.0
# No worker claims the follow-up within this time, which is longer than `LIVE_S`.
RESERVED_FOR = timedelta(seconds=10)

Record = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveEnrichment:
    """The result for the live task. is_owed: the worker will retry it. entry_id: of the journal's row."""

    outcome: Outcome
    reason: str
    is_owed: bool
    entry_id: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """The result of a decision. change: None if it was so already. live: None without a task, or without a change.

    others: number of other open tasks that are enriched again by follow-ups. overtaken_by: another decision about the
    task, made since the reader's form; then nothing was changed.
    """

    change: AuditedChange | None
    live: LiveEnrichment | None = None
    others: int = 0
    overtaken_by: AuditEntry | None = None


@dataclass(frozen=True, slots=True)
class StaleEdit:
    """Nothing was changed: the customer changed since the reader's form was made, or is gone (record None)."""

    customer_id: str
    record: Record | None


def decides_alone(finding: LookupFinding, key: Identifier) -> bool:
    """Return whether this key alone identifies the task's customer: it is verified, and no other one leads on."""
    keys = [one for one in finding.keys if one.trust == Trust.VERIFIED]
    here = [one for one in keys if (one.kind, one.value) == (key.kind, key.value)]
    others = [one for one in keys if one not in here and one.found and one.attribute != "TaskSid"]
    return bool(here) and not others


class Resolver:
    """Carries out what one member of staff decides. Every method raises DatabaseError.

    known_decision: id of the newest decision about the task that this person saw, 0 for none; a later one by somebody
    else is not replaced. None: not checked.
    """

    def __init__(
        self,
        database: Database,
        adapters: Adapters,
        enricher: Enricher,
        actor: Actor,
        known_decision: int | None = None,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._enricher = enricher
        self._actor = actor
        self._known_decision = known_decision

    def choose(self, task_sid: str, customer_id: str, key: Identifier | None) -> Resolution:
        """Identify the task's customer. key: give it to this customer from now on; None: this task only."""

        def decide(session: Session) -> AuditedChange | None:
            at = self._adapters.now()
            if key is None:
                return audit.change(
                    session,
                    Scope(tasks=frozenset({task_sid})),
                    AuditAction.PINNED,
                    self._actor,
                    at,
                    lambda: records.pin(session, task_sid, customer_id, self._actor, at),
                    task_sid=task_sid,
                    customer_id=customer_id,
                )
            return audit.change(
                session,
                Scope(keys=frozenset({key}), tasks=frozenset({task_sid})),
                AuditAction.LINKED,
                self._actor,
                at,
                lambda: self._give(session, task_sid, customer_id, key),
                task_sid=task_sid,
                customer_id=customer_id,
            )

        return self._carry_out(decide, task_sid)

    def create(
        self,
        task_sid: str | None,
        customer: CustomerFixture,
        key: Identifier | None,
        moved: Collection[Identifier] = (),
    ) -> Resolution:
        """Create a customer; the task, if there is one, is theirs, and so is the key from now on, if there is one.

        moved: identifiers of the customer to take from their other owners; the rest is shared. Returns no change if
        there is or was a customer of that id.
        """
        customer_id = customer.id
        tasks = frozenset({task_sid} if task_sid else ())

        def decide(session: Session) -> AuditedChange | None:
            at = self._adapters.now()
            is_known = decisions.is_known(session, customer_id)
            if is_known or records.read(session, [customer_id])[customer_id] is not None:
                return None

            def act() -> tuple[int, ...]:
                new = [editing.created(customer), *self._links(session, moved, customer_id)]
                made = decisions.decide(session, new, self._actor, at)
                if task_sid and key:
                    return made + self._give(session, task_sid, customer_id, key)
                if task_sid:
                    records.pin(session, task_sid, customer_id, self._actor, at)
                return made

            keys = frozenset(moved) | frozenset({key} if task_sid and key else ())
            scope = Scope(frozenset({customer_id}), keys, tasks)
            return audit.change(
                session, scope, AuditAction.CREATED, self._actor, at, act, task_sid=task_sid, customer_id=customer_id
            )

        return self._carry_out(decide, task_sid)

    def nobody(self, task_sid: str) -> Resolution:
        """Record that the task belongs to none of the customers who were found."""

        def decide(session: Session) -> AuditedChange | None:
            at, scope = self._adapters.now(), Scope(tasks=frozenset({task_sid}))
            act = partial(records.pin, session, task_sid, None, self._actor, at)
            return audit.change(session, scope, AuditAction.NOBODY, self._actor, at, act, task_sid=task_sid)

        return self._carry_out(decide, task_sid)

    def release(self, task_sid: str) -> Resolution:
        """Withdraw the decision about this task, so that its attributes decide again."""

        def decide(session: Session) -> AuditedChange | None:
            scope = Scope(tasks=frozenset({task_sid}))
            act = partial(records.unpin, session, task_sid)
            return audit.change(
                session, scope, AuditAction.RELEASED, self._actor, self._adapters.now(), act, task_sid=task_sid
            )

        return self._carry_out(decide, task_sid)

    def unlink(self, task_sid: str | None, customer_id: str, key: Identifier) -> Resolution:
        """Take the key from this customer, and release the task if it was pinned to them."""

        def decide(session: Session) -> AuditedChange | None:
            at = self._adapters.now()

            def act() -> tuple[int, ...]:
                if task_sid:
                    records.unpin(session, task_sid)
                return decisions.decide(session, [editing.unlinked(key, customer_id)], self._actor, at)

            scope = Scope(keys=frozenset({key}), tasks=frozenset({task_sid} if task_sid else ()))
            return audit.change(
                session, scope, AuditAction.UNLINKED, self._actor, at, act, task_sid=task_sid, customer_id=customer_id
            )

        return self._carry_out(decide, task_sid)

    def edit(
        self,
        customer_id: str,
        version: int | None,
        form: CustomerFixture,
        moved: Collection[Identifier] = (),
    ) -> Resolution | StaleEdit:
        """Change the customer to what the form says, if it is still at this version.

        moved: identifiers of the form to take from their other owners; the rest is shared.
        """

        def decide(session: Session, current: Mapping[str, Record]) -> AuditedChange | None:
            at = self._adapters.now()
            scope = Scope(customers=frozenset({customer_id}), keys=frozenset(moved))

            def act() -> tuple[int, ...]:
                new = editing.edited(customer_id, current[customer_id], form)
                return decisions.decide(session, new + self._links(session, moved, customer_id), self._actor, at)

            return audit.change(session, scope, AuditAction.EDITED, self._actor, at, act, customer_id=customer_id)

        return self._at_versions({customer_id: version}, decide)

    def merge(self, kept_id: str, gone_id: str, versions: Mapping[str, int]) -> Resolution | StaleEdit:
        """Merge the second customer into the first. versions: of both, as the reader saw them."""

        def decide(session: Session, _current: Mapping[str, Record]) -> AuditedChange | None:
            at = self._adapters.now()
            scope = Scope(frozenset({kept_id, gone_id, *records.merged_into(session, gone_id)}))
            act = partial(decisions.decide, session, [editing.merged(kept_id, gone_id)], self._actor, at)
            return audit.change(session, scope, AuditAction.MERGED, self._actor, at, act, customer_id=kept_id)

        return self._at_versions({one: versions.get(one) for one in (kept_id, gone_id)}, decide)

    def split(self, customer_id: str, home: str, version: int) -> Resolution | StaleEdit:
        """Make this part of the customer a customer of its own. version: of the customer, as the reader saw it."""

        def decide(session: Session, _current: Mapping[str, Record]) -> AuditedChange | None:
            at = self._adapters.now()
            members = frozenset({customer_id, *records.merged_into(session, customer_id)})
            if home not in members:
                return None
            act = partial(decisions.decide, session, editing.split(home, sorted(members)), self._actor, at)
            return audit.change(
                session, Scope(members), AuditAction.SPLIT, self._actor, at, act, customer_id=customer_id
            )

        return self._at_versions({customer_id: version}, decide)

    def delete(self, customer_id: str, version: int) -> Resolution | StaleEdit:
        """Delete the customer, whose history stays. version: of the customer, as the reader saw it."""

        def decide(session: Session, _current: Mapping[str, Record]) -> AuditedChange | None:
            at = self._adapters.now()
            members = frozenset({customer_id, *records.merged_into(session, customer_id)})
            act = partial(decisions.decide, session, [editing.deleted(customer_id)], self._actor, at)
            return audit.change(
                session, Scope(members), AuditAction.DELETED, self._actor, at, act, customer_id=customer_id
            )

        return self._at_versions({customer_id: version}, decide)

    def _at_versions(
        self,
        versions: Mapping[str, int | None],
        decide: Callable[[Session, Mapping[str, Record]], AuditedChange | None],
    ) -> Resolution | StaleEdit:
        """Carry out a decision about customers that are still at these versions, and not part of another one.

        decide: called with their present records.
        """
        stale: list[StaleEdit] = []

        def decide_if_current(session: Session) -> AuditedChange | None:
            records.serialise_changes(session)
            current: dict[str, Record] = {}
            found = records.read(session, list(versions))
            for customer_id, version in versions.items():
                record = found[customer_id]
                if record is None or record["merged_into"] or records.version(session, customer_id) != version:
                    stale.append(StaleEdit(customer_id, record))
                    return None
                current[customer_id] = record
            return decide(session, current)

        resolution = self._carry_out(decide_if_current, None)
        return stale[0] if stale else resolution

    def undo(self, audit_id: int, task_sid: str | None) -> Resolution | ChangedSince | UnreadableChange:
        """Undo the change in this row of the audit trail, or return what prevents it.

        task_sid: the task that the reader is looking at.
        """
        refused: list[ChangedSince | UnreadableChange] = []

        def decide(session: Session) -> AuditedChange | None:
            done = undo_change(session, audit_id, self._actor, self._adapters.now())
            if isinstance(done, ChangedSince | UnreadableChange):
                refused.append(done)
                return None
            return done

        resolution = self._carry_out(decide, task_sid)
        return refused[0] if refused else resolution

    def enrich_again(self, task_sid: str) -> Resolution:
        """Enrich the task from a fresh read."""
        return self._again(task_sid, AuditAction.ENRICHED)

    def replay(self, task_sid: str, raw_form: str) -> Resolution:
        """Enrich the task of a stored callback again: its form is read anew, the task fetched as it is now."""
        try:
            form = callbacks.read_form(callbacks.split_form(raw_form.encode("utf-8", "replace")))
            callbacks.require_sids(form)
        except errors.MalformedPayload as exc:
            return self._again(task_sid, AuditAction.REPLAYED, cannot=exc)
        return self._again(task_sid, AuditAction.REPLAYED)

    def _again(self, task_sid: str, action: AuditAction, cannot: errors.MalformedPayload | None = None) -> Resolution:
        with self._database.transaction() as session:
            audit.note(session, action, self._actor, self._adapters.now(), task_sid=task_sid)
            owed = self._queue_live(session, task_sid)
        return Resolution(None, live=self._enrich_now(*owed, cannot=cannot) if owed else None)

    def _links(self, session: Session, keys: Collection[Identifier], customer_id: str) -> list[Decision]:
        """Return the decisions that give these keys to the customer alone."""
        return [one for key in keys for one in editing.linked(key, customer_id, records.owners(session, key))]

    def _give(self, session: Session, task_sid: str, customer_id: str, key: Identifier) -> tuple[int, ...]:
        """Give the key to the customer from now on; the task, too, by the key alone or by a pin."""
        at = self._adapters.now()
        made = decisions.decide(session, self._links(session, [key], customer_id), self._actor, at)
        if decides_alone(contacts.last_finding(session, task_sid), key):
            records.unpin(session, task_sid)
        else:
            records.pin(session, task_sid, customer_id, self._actor, at)
        return made

    def _carry_out(self, decide: Callable[[Session], AuditedChange | None], task_sid: str | None) -> Resolution:
        with self._database.transaction() as session:
            if task_sid and (newer := self._newer_decision(session, task_sid)):
                return Resolution(None, overtaken_by=newer)
            made = decide(session)
            if made is None:
                return Resolution(None)
            now = self._adapters.now()
            owed = self._queue_live(session, task_sid) if task_sid else None
            # A finished task may belong in another customer's history now.
            for sid in made.tasks | ({task_sid} if task_sid else set()):
                woken = NewFollowup(FollowupKind.FINISHED, now, lifecycle.finished_key(sid))
                FollowupInserts.wake(session.connection(), woken)
            others = contacts.open_tasks(
                session,
                keys=[(key.kind, key.value) for key in made.keys],
                customer_ids=made.records,
                task_sids=made.tasks,
                now=now,
                except_task_sid=task_sid,
            )
            contacts.add_enrich_followups(session, [one.entry_id for one in others], now=now, due_at=now)
        return Resolution(made, live=self._enrich_now(*owed) if owed else None, others=len(others))

    def _newer_decision(self, session: Session, task_sid: str) -> AuditEntry | None:
        """Return the newest decision about the task if this person has not seen it."""
        if self._known_decision is None:
            return None
        records.serialise_changes(session)
        newest = audit.newest_decision(session, task_sid)
        return newest if newest and newest.id != self._known_decision else None

    def _queue_live(self, session: Session, task_sid: str) -> tuple[int, Delivery] | None:
        """Return the follow-up that is tried here, and its delivery; None if the journal does not know the task."""
        now = self._adapters.now()
        newest = contacts.newest_entry(session, task_sid)
        if newest is None:
            return None
        (followup_id,) = contacts.add_enrich_followups(session, [newest.id], now=now, due_at=now + RESERVED_FOR)
        return followup_id, delivery_about(newest, EntryKind.STAFF, now)

    def _enrich_now(
        self, followup_id: int, delivery: Delivery, cannot: errors.MalformedPayload | None = None
    ) -> LiveEnrichment:
        run, deadline, task_sid = EnrichmentRun(), Deadline.after(LIVE_S), delivery.task_sid or ""
        if cannot is not None:
            run.end(Outcome.MALFORMED, cannot.reason)
        else:
            with self._enricher.recording(run, LIVE_S, "enriching for staff failed", task_sid=task_sid):
                self._enricher.enrich(run, TaskRef(delivery.workspace_sid, task_sid), deadline)
        at = self._adapters.now()
        entry_id = self._adapters.journal.record(delivery, run.conclusion(deadline.elapsed_ms()), at=at)
        is_over = run.outcome in (Outcome.ENRICHED, Outcome.GONE)
        contacts.end_first_attempt(
            self._database, followup_id, now=at, done=is_over, reason=run.reason, retry=run.retryable
        )
        return LiveEnrichment(
            run.outcome or Outcome.FAILED, run.reason, is_owed=not is_over and run.retryable, entry_id=entry_id
        )
