"""One enrichment, in a straight line: who is it, and how does that get onto the task.

keys -> candidates -> choice -> context -> task with its ETag -> splice -> write with If-Match. The same line serves
the assignment callback, which knows the attributes from the callback's snapshot, and whatever is done later, which
reads the task first. The adapters come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from enrich import errors
from enrich.customers import block as customers_block
from enrich.customers import card_token, matching
from enrich.domain.deadline import Deadline
from enrich.domain.matches import Matched
from enrich.domain.outcomes import Outcome
from enrich.flows.work import JITTER, Adapters, EnrichmentRun
from enrich.policy.facts import customer_facts, match_facts
from enrich.taskrouter import attributes

if TYPE_CHECKING:
    from enrich.taskrouter.client import Task

T = TypeVar("T")

# With ten writers at once each still gets its turn; more 412s in a row mean that something writes without end.
MOST_WRITES = 10
# After a failure that may be over soon: first so long, then twice as long each time, while there is time.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
# Facts 4.4: nothing can be enriched on a task that is over; five minutes later it is gone.
OVER = ("completed", "canceled")
# What our block says of the task itself, beside the customer (journal.states.States.marks).
MARKS = ("escalation", "outcome")


@dataclass(frozen=True, slots=True)
class TaskRef:
    """The task that is to be enriched. raw_attributes: a snapshot of its attributes; None: read them first.

    attributes: the same, read already; None where nobody has, or nobody can. has_marks: it may have marks that do not
    stand on it yet.
    """

    workspace_sid: str
    task_sid: str
    raw_attributes: str | None = None
    has_marks: bool = False
    attributes: Mapping[str, Any] | None = None


def enrich(
    work: EnrichmentRun, subject: TaskRef, adapters: Adapters, deadline: Deadline, *, patient: bool = True
) -> None:
    """Enriches the task, and says in `work` how that ended. Raises OutOfTime when the clock ended it.

    patient: ask TaskRouter again after a failure that may be over soon, while there is time.
    Any other exception that leaves here is a mistake of ours.
    """
    try:
        place(work, subject, adapters, deadline, patient=patient)
    except errors.DatabaseError as exc:
        work.ended(Outcome.COULD_NOT_LOOK, exc.reason, retryable=True)
    except errors.TaskGone as exc:
        work.ended(Outcome.GONE, exc.reason)
    except errors.TaskRouterTooSlow as exc:  # no wait has a limit of its own: it was the clock's
        work.ended(Outcome.OUT_OF_TIME, exc.reason, retryable=True)
    except errors.AttributesUnreadable as exc:
        # What the callback carried may be damaged where the task itself is not: worth one fresh look.
        only_the_snapshot = work.before is None
        outcome = Outcome.MALFORMED if only_the_snapshot else Outcome.COULD_NOT_WRITE
        work.ended(outcome, exc.reason, retryable=only_the_snapshot)
    except errors.TaskRouterError as exc:
        work.ended(Outcome.COULD_NOT_WRITE, exc.reason, retryable=exc.retryable)
    else:
        reason = getattr(work.match, "reason", "")  # NoMatch has one: nobody was found, and this is why
        work.ended(Outcome.ENRICHED, reason)


def place(
    work: EnrichmentRun, subject: TaskRef, adapters: Adapters, deadline: Deadline, *, patient: bool = True
) -> None:
    """Returns when our block stands on the task. Raises DatabaseError, TaskRouterError; TaskGone when it is over."""
    task = None
    if subject.raw_attributes is None:
        task = patiently(lambda: _fetch(work, subject, adapters, deadline), adapters, deadline, patient=patient)
        work.before = task.raw_attributes
    raw_attributes = task.raw_attributes if task else subject.raw_attributes or ""
    known = subject.attributes if task is None else None
    held = attributes.parse(raw_attributes) if known is None else known
    blocks = identify(work, held, adapters, subject.task_sid)
    may_stand = task is None and adapters.rules.attribute in held
    if may_stand and _stands_already(
        work, raw_attributes, _marked(blocks, raw_attributes, subject, adapters), adapters
    ):
        work.before = raw_attributes
    else:
        write(work, subject, blocks, adapters, deadline, task, patient=patient)


def stands_already(work: EnrichmentRun, subject: TaskRef, adapters: Adapters) -> bool:
    """Whether the snapshot holds the whole block that we would write now; then `work` says that the task is enriched.

    Only reads. Raises DatabaseError, AttributesUnreadable.
    """
    raw_attributes = subject.raw_attributes or ""
    held = attributes.parse(raw_attributes) if subject.attributes is None else subject.attributes
    blocks = identify(work, held, adapters, subject.task_sid)
    if not _stands_already(work, raw_attributes, _marked(blocks, raw_attributes, subject, adapters), adapters):
        return False
    work.before = raw_attributes
    work.ended(Outcome.ENRICHED, getattr(work.match, "reason", ""))
    return True


def patiently(ask: Callable[[], T], adapters: Adapters, deadline: Deadline, *, patient: bool = True) -> T:
    """What `ask` returns, asked again after transient failures, while there is time for the pause before it.

    Raises what `ask` raised last. TaskRouter's Retry-After is honoured: what lies beyond the deadline ends it at once.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return ask()
        except errors.TaskRouterError as exc:
            wait_s = max(pause_s, exc.retry_after_s or 0.0)
            if not (patient and exc.transient) or wait_s * JITTER >= deadline.remaining_s():
                raise
        adapters.pause(wait_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def identify(
    work: EnrichmentRun, task_attributes: Mapping[str, Any], adapters: Adapters, task_sid: str
) -> Sequence[attributes.Block]:
    """The versions of the block for whoever these attributes point to, largest first. Raises DatabaseError.

    task_sid: of the task; what staff have said of it stands above its attributes.
    """
    keys = matching.lookup_keys(task_attributes, adapters.rules.keys, task_sid)
    with work.stopwatch.step("look_up"):
        found = adapters.store.look_up(keys)
        work.match = matching.choose(keys, found.candidates)
        work.finding = matching.explain(keys, found.candidates, work.match)
        work.customer = adapters.store.details_of(work.match, found)
    work.projected = _projected(work, adapters)
    blocks = customers_block.compose(work.match, work.customer, adapters.rules.shape)
    if not adapters.rules.card_key:
        return blocks
    return customers_block.with_card(blocks, card_token.token_of(adapters.rules.card_key, task_sid))


def write(
    work: EnrichmentRun,
    subject: TaskRef,
    blocks: Sequence[attributes.Block],
    adapters: Adapters,
    deadline: Deadline,
    task: Task | None = None,
    *,
    patient: bool = True,
) -> None:
    """Returns when one of `blocks` stands on the task; a write that would change nothing is not made.

    task: as fetched already, or None. After a failure the task is read anew: the write may have been done all the same.
    If TaskRouter refuses what we wrote, the smallest block is tried once, alone. Raises TaskRouterError.
    """
    fetched = [task] if task else []

    def attempt(versions: Sequence[attributes.Block]) -> None:
        known = fetched.pop() if fetched else None
        _write_over_others(work, subject, versions, adapters, deadline, known)

    try:
        patiently(lambda: attempt(blocks), adapters, deadline, patient=patient)
    except errors.RequestRefused:
        if (len(blocks) == 1 and not work.projected) or work.before is None:
            raise
        work.projected = tuple(replace(each, value=None) for each in work.projected)
        patiently(lambda: attempt(blocks[-1:]), adapters, deadline, patient=patient)


def _write_over_others(
    work: EnrichmentRun,
    subject: TaskRef,
    blocks: Sequence[attributes.Block],
    adapters: Adapters,
    deadline: Deadline,
    task: Task | None,
) -> None:
    """Reads, splices and writes, and does so again for as long as others write in between."""
    for _ in range(MOST_WRITES):
        if task is None:
            task = _fetch(work, subject, adapters, deadline)
        work.before = task.raw_attributes
        marked = _marked(blocks, task.raw_attributes, subject, adapters)
        spliced = attributes.splice(task.raw_attributes, adapters.rules.attribute, marked, work.projected)
        if isinstance(spliced, attributes.Unchanged):
            return
        try:
            with work.stopwatch.step("write"):
                adapters.taskrouter.update_attributes(
                    subject.workspace_sid,
                    subject.task_sid,
                    spliced.text,
                    if_match=task.etag,
                    timeout_s=deadline.remaining_s(),
                )
        except errors.StaleTask:
            task = None  # somebody wrote in between: theirs is the text to splice into
            continue
        work.after = spliced.text
        if spliced.block is None:
            raise errors.NoRoom("a foreign block was taken out, and ours does not fit")
        if marked is blocks or marked == _marked(blocks, task.raw_attributes, subject, adapters):
            return
        # A mark was made since it was asked for, and whoever made it may have found it standing there: we took it out.
        task, subject = None, replace(subject, has_marks=True)
    raise errors.StaleTask(f"somebody else wrote first, {MOST_WRITES} times in a row")


def _marked(
    blocks: Sequence[attributes.Block], raw_attributes: str, subject: TaskRef, adapters: Adapters
) -> Sequence[attributes.Block]:
    """The blocks, with what is to be said of the task itself in each of them; it is never given up for room.

    A mark counts because it is in our database, not because it stands on the task: a visitor may have put it there.
    It is asked for only where one stands there, so that most tasks cost nothing; and after the task was read, so that
    one that came in between is not taken out again. Whoever makes a mark sees to it that it gets onto the task.
    """
    if not (subject.has_marks or any(f'"{mark}"' in raw_attributes for mark in MARKS)):
        return blocks
    marks = adapters.states.marks(subject.task_sid)
    return tuple({**block, **marks} for block in blocks)


def _fetch(work: EnrichmentRun, subject: TaskRef, adapters: Adapters, deadline: Deadline) -> Task:
    with work.stopwatch.step("fetch"):
        task = adapters.taskrouter.fetch_task(subject.workspace_sid, subject.task_sid, timeout_s=deadline.remaining_s())
    if task.assignment_status in OVER:
        raise errors.TaskGone(f"the task is {task.assignment_status}")
    return task


def _projected(work: EnrichmentRun, adapters: Adapters) -> tuple[attributes.Projected, ...]:
    """What the policy wants to stand beside the block: of a customer who is certain. For all others it is taken out."""
    projections = adapters.rules.policy.context.projections
    if not projections:
        return ()
    if not isinstance(work.match, Matched):
        return tuple(attributes.Projected(each.path, None) for each in projections)
    facts = {"customer": customer_facts(work.match, work.customer), "match": match_facts(work.match)}
    return tuple(attributes.Projected(each.path, each.value(facts)) for each in projections)


def _stands_already(
    work: EnrichmentRun, raw_attributes: str, blocks: Sequence[attributes.Block], adapters: Adapters
) -> bool:
    """Whether the snapshot holds the whole block that we would write now. Then nothing has to go over REST."""
    if attributes.length(raw_attributes) > attributes.LIMIT:
        return False  # no task has so many: it is no snapshot of one, and not worth the time
    try:
        spliced = attributes.splice(raw_attributes, adapters.rules.attribute, blocks, work.projected)
    except errors.NoRoom:
        return False  # in the snapshot; what counts is the task
    return isinstance(spliced, attributes.Unchanged)
