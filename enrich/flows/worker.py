"""What is owed, done: the worker's rounds, and the table of who does what.

A follow-up works from a fresh read of the task, never from a callback's snapshot. Doing it twice does no harm: each
looks first whether what is to hold holds already.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.deliveries import Delivery, FollowupAttempt, NewFollowup
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.flows import completion, handover, lifecycle
from enrich.flows.enrichment import TaskRef, enrich
from enrich.flows.work import Adapters, EnrichmentRun, conclusion_of, too_slow
from enrich.journal.followups import Followup, FollowupQueue

# Nobody waits for a follow-up; what takes longer is tried again later.
WORK_S = 5.0
# Then the worker looks for what was abandoned, for what is to be pruned, and whether it shall end.
MOST_A_ROUND = 10
EVERY_S = 0.5
# How often somebody who waits looks whether another has done it.
LOOK_S = 0.1
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 120.0
# With the pauses above these last for about half an hour; a task that waits longer has other problems.
MOST_ATTEMPTS = 20
PRUNE_EVERY = timedelta(minutes=10)
TIDY_EVERY = timedelta(minutes=1)
# What one web process alone could not record is found at the next of these; each looks back a little further.
CATCH_UP_EVERY = timedelta(minutes=5)
CATCH_UP_OVERLAP = timedelta(minutes=2)
CATCH_UP_AT_START = timedelta(minutes=15)

log = logging.getLogger(__name__)


def work_until(
    is_over: Callable[[], bool],
    adapters: Adapters,
    owed: FollowupQueue,
    keep: timedelta,
    catch_up: Callable[[datetime, datetime], int],
    beat: Callable[[datetime], None],
    find_stuck: Callable[[datetime], int],
) -> None:
    """Does what is owed, every half second, until `is_over`. Outlives a database that does not answer.

    keep: how long journal rows, and the trail of what staff did, are kept; older ones are deleted. catch_up: brings in
    what was never recorded between two moments; asked every few minutes, and at once when the database is back. beat:
    leaves word that somebody works, and does what little a worker does besides; asked each time. find_stuck: owes the
    completion of what is wrapping for too long; asked every minute.
    """
    prune_at = adapters.now()
    caught_up_at = prune_at - CATCH_UP_AT_START
    tidy_at = prune_at
    was_away = False
    while not is_over():
        done = 0
        try:
            beat(adapters.now())
            done = round_of_work(adapters, owed)
            now = adapters.now()
            if now >= prune_at:
                while owed.prune(now - keep) and not is_over():
                    pass
                adapters.states.prune(now - keep)
                adapters.store.prune(now - keep)
                prune_at = now + PRUNE_EVERY
            if now >= tidy_at:
                tidy_at = now + TIDY_EVERY
                _over_rest("what is wrapping for too long was found", partial(find_stuck, now))
            if was_away or now - caught_up_at >= CATCH_UP_EVERY:
                since = caught_up_at - CATCH_UP_OVERLAP
                _over_rest("what was never recorded was brought in", partial(catch_up, since, now))
                caught_up_at, was_away = now, False
        except errors.DatabaseError as exc:
            if not was_away:
                log.error("the worker cannot work", extra={"reason": exc.reason, "detail": str(exc)})
            was_away = True
        except Exception:  # a mistake of ours must not leave everything else undone
            log.exception("the worker failed; it goes on")
        if not done:
            adapters.pause(EVERY_S)


def _over_rest(found: str, search: Callable[[], int]) -> None:
    """Raises DatabaseError. That TaskRouter does not answer is no reason to stop working; it is asked again.

    found: what it means when the search finds something.
    """
    try:
        count = search()
    except errors.TaskRouterError as exc:
        log.warning("a search over REST failed", extra={"reason": exc.reason, "detail": f"for: {found}"})
        return
    if count:
        log.warning(found, extra={"count": count})


def round_of_work(adapters: Adapters, owed: FollowupQueue) -> int:
    """How many follow-ups were tried, after adopting what dead processes left behind. Raises DatabaseError."""
    adopted = owed.adopt_abandoned(adapters.now())
    if adopted:
        log.warning("receipts without conclusion were adopted", extra={"count": adopted})
    for tried in range(MOST_A_ROUND):
        claimed = owed.claim(adapters.now())
        if not claimed:
            return tried
        _do(claimed[0], adapters, owed)
    return MOST_A_ROUND


def do_now(key: str, adapters: Adapters, owed: FollowupQueue) -> tuple[bool, str]:
    """Whether the follow-up that is known by this key is over, and the reason it failed with, "" for none.

    For somebody who waits: it is tried now, or, where a worker was faster, waited for. It is owed all the same; what
    comes to nothing a worker goes on trying. Raises DatabaseError.
    """
    claimed = owed.claim(adapters.now(), key=key)
    for followup in claimed:
        _do(followup, adapters, owed)
    is_over, reason = owed.ending(key)
    looks = 0 if claimed else int(WORK_S / LOOK_S)
    while looks and not (is_over or reason):
        adapters.pause(LOOK_S)
        is_over, reason = owed.ending(key)
        looks -= 1
    return is_over, reason


def _do(followup: Followup, adapters: Adapters, owed: FollowupQueue) -> None:
    """Tries it once: afterwards it is done, put off, or given up."""
    deadline = Deadline.after(WORK_S)
    if followup.task_sid is None:
        owed.give_up(followup, adapters.now(), errors.MalformedPayload.reason)
        return
    enriches = followup.kind in (FollowupKind.ENRICH, FollowupKind.WARM)
    ended = _enrich(followup, deadline, adapters, owed) if enriches else _act(followup, deadline, adapters, owed)
    log.info(
        "follow-up",
        extra={
            "followup": followup.kind,
            "task_sid": followup.task_sid,
            "reservation_sid": followup.reservation_sid or "",
            "entry": followup.entry_id,
            "attempts": followup.attempts,
            "elapsed_ms": deadline.elapsed_ms(),
            **ended,
        },
    )
    adapters.observe(
        FollowupAttempt(
            followup.kind,
            followup.entry_id,
            followup.task_sid,
            followup.reservation_sid,
            followup.attempts,
            ended.get("outcome") or ("not_done" if ended["reason"] else "done"),
            ended.get("reason", ""),
            deadline.began_at,
            deadline.elapsed_ms() / 1000,
        )
    )


def _act(followup: Followup, deadline: Deadline, adapters: Adapters, owed: FollowupQueue) -> dict[str, str]:
    """Does what is no enrichment; how it ended, for the log."""
    reason, retryable = "", False
    try:
        with adapters.time_limit(WORK_S):
            match followup.kind:
                case FollowupKind.MISSED:
                    lifecycle.missed(followup, adapters, owed, deadline)
                case FollowupKind.HAND_OVER:
                    handover.hand_over(followup, adapters, owed, deadline)
                case FollowupKind.WRAP_UP:
                    completion.wrap_up(followup, adapters, deadline)
                case FollowupKind.COMPLETE:
                    completion.complete(followup, adapters, owed, deadline)
                case FollowupKind.FINISHED:
                    lifecycle.finished(followup, adapters)
    except OutOfTime:
        reason, retryable = Reason.OUT_OF_TIME, True
    except errors.EnrichError as exc:
        reason, retryable = exc.reason, exc.retryable
    except Exception:  # a mistake of ours: recorded, and tried again
        log.exception("follow-up failed", extra={"followup": followup.kind, "task_sid": followup.task_sid})
        reason, retryable = Reason.FAILED, True
    now = adapters.now()
    if not reason:
        owed.done(followup, now)
    elif retryable and followup.attempts < MOST_ATTEMPTS:
        owed.put_off(followup, now + _pause_after(followup.attempts), reason)
    else:
        owed.give_up(followup, now, reason)
    return {"reason": reason}


def _enrich(followup: Followup, deadline: Deadline, adapters: Adapters, owed: FollowupQueue) -> dict[str, str]:
    """Enriches the task, along the same line as the callback; how it ended, for the log."""
    if followup.kind is FollowupKind.WARM and adapters.states.was_offered(followup.task_sid or ""):
        owed.done(followup, adapters.now())  # the callback came first: what it could not do is owed by itself
        return {"outcome": "dropped"}
    work = EnrichmentRun()
    subject = TaskRef(followup.workspace_sid, followup.task_sid or "", has_marks=True)
    try:
        with adapters.time_limit(WORK_S):
            enrich(work, subject, adapters, deadline, patient=False)
    except OutOfTime:
        if work.outcome is None:
            work.ended(Outcome.OUT_OF_TIME, too_slow(work), retryable=True)
    except Exception:  # as in the callback: recorded, and tried again
        log.exception("follow-up failed", extra={"followup": followup.kind, "task_sid": followup.task_sid})
        work.ended(Outcome.FAILED, Reason.FAILED, retryable=True)
    _end(followup, work, deadline, adapters, owed)
    match = work.match.kind if work.match else ""
    return {"outcome": work.outcome or "", "reason": work.reason, "match": match}


def _end(followup: Followup, work: EnrichmentRun, deadline: Deadline, adapters: Adapters, owed: FollowupQueue) -> None:
    """Done, put off, or given up; what is over is told in the journal."""
    now = adapters.now()
    if work.retryable and followup.attempts < MOST_ATTEMPTS:
        owed.put_off(followup, now + _pause_after(followup.attempts), work.reason)
        return
    _record(followup, work, deadline, adapters)
    # Whose task it is may have been found out after it was finished.
    owed.wake(NewFollowup(FollowupKind.FINISHED, now, lifecycle.finished_key(followup.task_sid or "")))
    if work.outcome is Outcome.ENRICHED:
        owed.done(followup, now)
    else:
        owed.give_up(followup, now, work.reason)


def _record(followup: Followup, work: EnrichmentRun, deadline: Deadline, adapters: Adapters) -> None:
    """A row of its own in the journal: what the callback's row says stays as it was."""
    now = adapters.now()
    delivery = Delivery(
        kind=EntryKind.WARM if followup.kind is FollowupKind.WARM else EntryKind.LATE,
        received_at=now,
        workspace_sid=followup.workspace_sid,
        task_sid=followup.task_sid,
        reservation_sid=followup.reservation_sid,
        worker_sid=followup.worker_sid,
        worker_name=followup.worker_name,
    )
    adapters.journal.record(delivery, conclusion_of(work, deadline.elapsed_ms()), at=now)


def _pause_after(attempts: int) -> timedelta:
    """Twice as long each time, and never quite the same: what failed together should not come back together."""
    seconds = min(FIRST_RETRY_S * 2 ** (attempts - 1), LONGEST_RETRY_S)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
