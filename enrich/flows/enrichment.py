"""One enrichment, in a straight line: identify the customer, and put the block onto the task.

keys -> candidates -> choice -> block -> task with its ETag -> splice -> write with If-Match. The same line serves the
assignment callback, which knows the attributes from the callback's snapshot, and everything that is done later, which
reads the task first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from enrich import errors
from enrich.customers import block as customer_block
from enrich.customers import card_token, matching
from enrich.domain.deadline import Deadline, OutOfTime, StepName
from enrich.domain.matches import Matched
from enrich.domain.outcomes import Outcome, Reason
from enrich.domain.tasks import Task
from enrich.flows.adapters import JITTER, Adapters
from enrich.flows.rules import Rules
from enrich.flows.run import EnrichmentRun
from enrich.policy.facts import customer_facts, match_facts
from enrich.taskrouter import attributes, callbacks

T = TypeVar("T")

# With ten writers at once each still gets its turn; more 412s in a row mean that something writes without end.
MAX_WRITES = 10
# After a transient failure: first this pause, then twice as long each time, while there is time.
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 1.0
# A task in one of these states cannot be enriched any more; five minutes later TaskRouter deletes it
# (docs/taskrouter.md, "Time limits").
OVER = ("completed", "canceled")
# Members of the block that describe the task itself, beside the customer (`TaskStates.marks`).
MARKS = ("escalation", "outcome")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskRef:
    """The task to enrich. raw_attributes: a snapshot of its attributes; None: read them first.

    attributes: the snapshot, parsed; None if it is not parsed yet, or cannot be. has_marks: the task may have marks
    that do not stand on it yet.
    """

    workspace_sid: str
    task_sid: str
    raw_attributes: str | None = None
    has_marks: bool = False
    attributes: Mapping[str, Any] | None = None


class Enricher:
    """Identifies customers and writes the block. Safe to share between greenlets and threads."""

    def __init__(self, adapters: Adapters, rules: Rules) -> None:
        self._adapters = adapters
        self._rules = rules

    def recording(
        self, run: EnrichmentRun, limit_s: float, event: str, **log_fields: str
    ) -> AbstractContextManager[None, bool]:
        """Limit the block to this many seconds, and record in `run` however it ends.

        Raises nothing for what happens in the block: an interruption and an internal error become the outcome of the
        run. event, log_fields: the log line of an internal error; SIDs, nothing personal.
        """
        # The type of a generator's context manager does not say that it may suppress an exception.
        return cast("AbstractContextManager[None, bool]", self._recording(run, limit_s, event, log_fields))

    @contextmanager
    def _recording(
        self, run: EnrichmentRun, limit_s: float, event: str, log_fields: Mapping[str, str]
    ) -> Iterator[None]:
        try:
            with self._adapters.time_limit(limit_s):
                yield
        except OutOfTime:
            run.end_out_of_time()
        except Exception:  # an internal error is recorded and retried later; it keeps no caller waiting
            log.exception(event, extra=log_fields)
            run.end(Outcome.FAILED, Reason.FAILED, retryable=True)

    def enrich(self, run: EnrichmentRun, task_ref: TaskRef, deadline: Deadline, *, patient: bool = True) -> None:
        """Enrich the task, and record in `run` how that ended. Raises OutOfTime when the clock interrupts it.

        patient: ask TaskRouter again after transient failures, while there is time.
        """
        try:
            self.place(run, task_ref, deadline, patient=patient)
        except errors.DatabaseError as exc:
            run.end(Outcome.COULD_NOT_LOOK, exc.reason, retryable=True)
        except errors.TaskGone as exc:
            run.end(Outcome.GONE, exc.reason)
            if run.match is None:
                self._identify_ended(run, task_ref)
        except errors.TaskRouterTooSlow as exc:  # requests have no limit but the deadline, so the clock ended it
            run.end(Outcome.OUT_OF_TIME, exc.reason, retryable=True)
        except errors.AttributesUnreadable as exc:
            # The callback's snapshot may be damaged where the task itself is not: worth one fresh read.
            only_the_snapshot = run.before is None
            outcome = Outcome.MALFORMED if only_the_snapshot else Outcome.COULD_NOT_WRITE
            run.end(outcome, exc.reason, retryable=only_the_snapshot)
        except errors.TaskRouterError as exc:
            run.end(Outcome.COULD_NOT_WRITE, exc.reason, retryable=exc.retryable)
        else:
            run.end_enriched()

    def place(self, run: EnrichmentRun, task_ref: TaskRef, deadline: Deadline, *, patient: bool = True) -> None:
        """Make our block stand on the task. Raises DatabaseError, TaskRouterError; TaskGone when the task is over."""
        task = None
        if task_ref.raw_attributes is None:
            task = self.patiently(lambda: self._fetch(run, task_ref, deadline), deadline, patient=patient)
            run.before = task.raw_attributes
        raw_attributes = task.raw_attributes if task else task_ref.raw_attributes or ""
        parsed = task_ref.attributes if task is None else None
        if parsed is None:
            parsed = attributes.parse(raw_attributes)
        blocks = self.identify(run, parsed, task_ref.task_sid)
        may_stand = task is None and self._rules.attribute in parsed
        if may_stand and self._stands(run, raw_attributes, self._marked(blocks, raw_attributes, task_ref)):
            run.before = raw_attributes
        else:
            self.write(run, task_ref, blocks, deadline, task, patient=patient)

    def stands_already(self, run: EnrichmentRun, task_ref: TaskRef) -> bool:
        """Return whether the snapshot holds the whole block that we would write now; then `run` has ended as enriched.

        Only reads. Raises DatabaseError, AttributesUnreadable.
        """
        raw_attributes = task_ref.raw_attributes or ""
        parsed = attributes.parse(raw_attributes) if task_ref.attributes is None else task_ref.attributes
        blocks = self.identify(run, parsed, task_ref.task_sid)
        if not self._stands(run, raw_attributes, self._marked(blocks, raw_attributes, task_ref)):
            return False
        run.before = raw_attributes
        run.end_enriched()
        return True

    def patiently(self, ask: Callable[[], T], deadline: Deadline, *, patient: bool = True) -> T:
        """Return what `ask` returns, asking again after transient failures while there is time for the pause.

        Raises what `ask` raised last. TaskRouter's Retry-After is honoured; one beyond the deadline ends it at once.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except errors.TaskRouterError as exc:
                wait_s = max(pause_s, exc.retry_after_s or 0.0)
                if not (patient and exc.transient) or wait_s * JITTER >= deadline.remaining_s():
                    raise
            self._adapters.pause(wait_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def identify(
        self, run: EnrichmentRun, task_attributes: Mapping[str, Any], task_sid: str
    ) -> Sequence[attributes.Block]:
        """Return the versions of the block for the customer these attributes lead to, largest first.

        task_sid: staff may have identified the customer of this very task, which overrides its attributes. Raises
        DatabaseError.
        """
        rules, store = self._rules, self._adapters.store
        keys = matching.lookup_keys(task_attributes, rules.keys, task_sid)
        with run.stopwatch.step(StepName.LOOK_UP):
            looked_up = store.look_up(keys)
            run.match = matching.choose(keys, looked_up.candidates)
            run.finding = matching.explain(keys, looked_up.candidates, run.match)
            run.customer = store.details_of(run.match, looked_up)
        run.projected = self._projected(run)
        blocks = customer_block.compose(run.match, run.customer, rules.shape)
        if not rules.card_key:
            return blocks
        return customer_block.with_card(blocks, card_token.token_of(rules.card_key, task_sid))

    def _identify_ended(self, run: EnrichmentRun, task_ref: TaskRef) -> None:
        """Identify the customer of a task that is over, from its last attributes in the journal, for the page alone.

        Records nothing if they cannot be read or the database fails: the task's end stays the outcome.
        """
        try:
            forms = self._adapters.journal.last_forms(task_ref.task_sid)
            raw_attributes = next(filter(None, map(callbacks.attributes_in, forms)), None)
            if raw_attributes is not None:
                self.identify(run, attributes.parse(raw_attributes), task_ref.task_sid)
        except (errors.DatabaseError, errors.AttributesUnreadable):
            log.info("customer of an ended task unknown", extra={"task_sid": task_ref.task_sid})

    def write(
        self,
        run: EnrichmentRun,
        task_ref: TaskRef,
        blocks: Sequence[attributes.Block],
        deadline: Deadline,
        task: Task | None = None,
        *,
        patient: bool = True,
    ) -> None:
        """Make one of `blocks` stand on the task; a write that would change nothing is not made.

        task: as fetched already, or None. After a failure the task is read anew, since the write may have been done all
        the same. If TaskRouter refuses what we wrote, the smallest block is tried once, alone. Raises TaskRouterError.
        """
        fetched = [task] if task else []

        def attempt(versions: Sequence[attributes.Block]) -> None:
            known = fetched.pop() if fetched else None
            self._write_over_others(run, task_ref, versions, deadline, known)

        try:
            self.patiently(lambda: attempt(blocks), deadline, patient=patient)
        except errors.RequestRefused:
            if (len(blocks) == 1 and not run.projected) or run.before is None:
                raise
            run.projected = tuple(replace(projected, value=None) for projected in run.projected)
            self.patiently(lambda: attempt(blocks[-1:]), deadline, patient=patient)

    def _write_over_others(
        self,
        run: EnrichmentRun,
        task_ref: TaskRef,
        blocks: Sequence[attributes.Block],
        deadline: Deadline,
        task: Task | None,
    ) -> None:
        """Read, splice and write, again for as long as others write in between."""
        for _ in range(MAX_WRITES):
            if task is None:
                task = self._fetch(run, task_ref, deadline)
            run.before = task.raw_attributes
            marked = self._marked(blocks, task.raw_attributes, task_ref)
            spliced = attributes.splice(task.raw_attributes, self._rules.attribute, marked, run.projected)
            if isinstance(spliced, attributes.Unchanged):
                return
            try:
                with run.stopwatch.step(StepName.WRITE):
                    self._adapters.taskrouter.update_attributes(
                        task_ref.workspace_sid,
                        task_ref.task_sid,
                        spliced.text,
                        if_match=task.etag,
                        timeout_s=deadline.remaining_s(),
                    )
            except errors.StaleTask:
                task = None  # another writer came first: theirs is the text to splice into
                continue
            run.after = spliced.text
            if spliced.block is None:
                raise errors.NoRoom("a foreign block was removed, and ours does not fit")
            if marked is blocks or marked == self._marked(blocks, task.raw_attributes, task_ref):
                return
            # A mark was made since we asked, and its maker may have found it on the task: our write removed it.
            task, task_ref = None, replace(task_ref, has_marks=True)
        raise errors.StaleTask(f"somebody else wrote first, {MAX_WRITES} times in a row")

    def _marked(
        self, blocks: Sequence[attributes.Block], raw_attributes: str, task_ref: TaskRef
    ) -> Sequence[attributes.Block]:
        """Return the blocks with the task's marks in each; marks are never dropped for room.

        A mark counts because it is in our database, not because it stands on the task: a visitor may have put it there.
        It is asked for only where one stands there, so that most tasks cost nothing; and after the task was read, so
        that one made in between is not removed again. The maker of a mark puts it onto the task.
        """
        if not (task_ref.has_marks or any(f'"{mark}"' in raw_attributes for mark in MARKS)):
            return blocks
        marks = self._adapters.task_states.marks(task_ref.task_sid)
        return tuple({**block, **marks} for block in blocks)

    def _fetch(self, run: EnrichmentRun, task_ref: TaskRef, deadline: Deadline) -> Task:
        with run.stopwatch.step(StepName.FETCH):
            task = self._adapters.taskrouter.fetch_task(
                task_ref.workspace_sid, task_ref.task_sid, timeout_s=deadline.remaining_s()
            )
        if task.assignment_status in OVER:
            raise errors.TaskGone(f"the task is {task.assignment_status}")
        return task

    def _projected(self, run: EnrichmentRun) -> tuple[attributes.Projected, ...]:
        """Return what the policy projects beside the block: only of a certain customer, for others it is removed."""
        projections = self._rules.policy.context.projections
        if not projections:
            return ()
        if not isinstance(run.match, Matched):
            return tuple(attributes.Projected(projection.path, None) for projection in projections)
        facts = {"customer": customer_facts(run.match, run.customer), "match": match_facts(run.match)}
        return tuple(attributes.Projected(projection.path, projection.value(facts)) for projection in projections)

    def _stands(self, run: EnrichmentRun, raw_attributes: str, blocks: Sequence[attributes.Block]) -> bool:
        """Return whether the snapshot holds the whole block that we would write now, so that REST is not needed."""
        if attributes.length(raw_attributes) > attributes.LIMIT:
            return False  # no task has so many attributes: it is no snapshot of one, and not worth the time
        try:
            spliced = attributes.splice(raw_attributes, self._rules.attribute, blocks, run.projected)
        except errors.NoRoom:
            return False  # in the snapshot; what counts is the task
        return isinstance(spliced, attributes.Unchanged)
