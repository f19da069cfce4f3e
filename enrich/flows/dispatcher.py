"""One attempt at a follow-up: dispatched to its handler, then done, put off or given up.

A follow-up works from a fresh read of the task, never from a callback's snapshot. Doing it twice does no harm: each
handler looks first whether its result is there already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.deliveries import Followup, FollowupAttempt, NewFollowup, delivery_about
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.flows.adapters import Adapters
from enrich.flows.completion import Completion
from enrich.flows.enrichment import Enricher, TaskRef
from enrich.flows.handover import Handover
from enrich.flows.lifecycle import Lifecycle, finished_key
from enrich.flows.restoration import Restoration
from enrich.flows.run import EnrichmentRun

# Nobody waits for a follow-up; one that takes longer is tried again later.
ATTEMPT_S = 5.0
# Follow-ups of one call of `run_batch`.
BATCH_SIZE = 10
# The interval at which `run_now` polls for the result of another worker.
RESULT_POLL_S = 0.1
FIRST_RETRY_S = 1.0
MAX_RETRY_S = 120.0
# With the delays above these last for about half an hour; a task that waits longer has other problems.
MAX_ATTEMPTS = 20
# Failures of attempts that never reached TaskRouter, or that its rate limit turned away. They say nothing about the
# follow-up and do not count: otherwise an outage of half an hour would use up the attempts of everything that is owed,
# and what was refused several times by chance would wait for minutes.
_TURNED_AWAY = frozenset(
    (errors.TaskRouterUnreachable.reason, errors.TaskRouterCircuitOpen.reason, errors.RateLimited.reason)
)

log = logging.getLogger(__name__)


class FollowupDispatcher:
    """Runs follow-ups, each by the handler of its kind.

    jitter: returns a factor around 1 for the delay before a retry, so that what failed together does not retry
    together. Every public method raises DatabaseError.
    """

    def __init__(
        self,
        adapters: Adapters,
        enricher: Enricher,
        lifecycle: Lifecycle,
        handover: Handover,
        completion: Completion,
        restoration: Restoration,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self._adapters = adapters
        self._enricher = enricher
        self._jitter = jitter
        self._handlers: dict[FollowupKind, Callable[[Followup, Deadline], str | None]] = {
            FollowupKind.MISSED: lifecycle.handle_missed,
            FollowupKind.HAND_OVER: handover.hand_over,
            FollowupKind.WRAP_UP: completion.wrap_up,
            FollowupKind.COMPLETE: completion.complete,
            FollowupKind.FINISHED: lambda followup, _deadline: lifecycle.handle_finished(followup),
            FollowupKind.RESTORE: restoration.restore,
        }

    def run_batch(self) -> int:
        """Adopt what dead processes left behind, run what is due, and return how many follow-ups were tried."""
        adopted = self._adapters.followups.adopt_abandoned(self._adapters.now())
        if adopted:
            log.warning("receipts without conclusion were adopted", extra={"count": adopted})
        for count in range(BATCH_SIZE):
            claimed = self._adapters.followups.claim(self._adapters.now())
            if not claimed:
                return count
            self.run(claimed[0])
        return BATCH_SIZE

    def run_now(self, key: str) -> tuple[bool, str]:
        """Return whether the follow-up with this key has ended, and the reason of its last failure, "" for none.

        For a caller who waits: the follow-up is tried now or, where a worker was faster, waited for. If it fails, it
        stays in the queue, and a worker goes on trying.
        """
        queue = self._adapters.followups
        claimed = queue.claim(self._adapters.now(), key=key)
        for followup in claimed:
            self.run(followup)
        is_over, reason = queue.ending(key)
        polls = 0 if claimed else int(ATTEMPT_S / RESULT_POLL_S)
        while polls and not (is_over or reason):
            self._adapters.pause(RESULT_POLL_S)
            is_over, reason = queue.ending(key)
            polls -= 1
        return is_over, reason

    def run(self, followup: Followup) -> None:
        """Try a claimed follow-up once; afterwards it is done, put off, or given up."""
        deadline = Deadline.after(ATTEMPT_S)
        if followup.task_sid is None:
            self._adapters.followups.give_up(followup, self._adapters.now(), errors.MalformedPayload.reason)
            return
        enriches = followup.kind in (FollowupKind.ENRICH, FollowupKind.WARM)
        if followup.attempts > MAX_ATTEMPTS:
            # An attempt is counted when it is claimed. No other way leads here than that each one ended its worker.
            result = self._refuse(followup, Reason.INTERRUPTED)
        elif enriches:
            result = self._enrich(followup, deadline)
        elif followup.is_readable:
            result = self._handle(followup, deadline)
        else:  # what it asked for is unknown, and half of it may do harm
            result = self._refuse(followup, errors.MalformedPayload.reason)
        log.info(
            "follow-up",
            extra={
                "followup": followup.kind,
                "task_sid": followup.task_sid,
                "reservation_sid": followup.reservation_sid or "",
                "entry": followup.entry_id,
                "attempts": followup.attempts,
                "elapsed_ms": deadline.elapsed_ms(),
                **result,
            },
        )
        self._adapters.observe(
            FollowupAttempt(
                followup.kind,
                followup.entry_id,
                followup.task_sid,
                followup.reservation_sid,
                followup.attempts,
                result.get("outcome") or ("not_done" if result["reason"] else "done"),
                result.get("reason", ""),
                deadline.began_at,
                deadline.elapsed_ms() / 1000,
            )
        )

    def _refuse(self, followup: Followup, reason: str) -> dict[str, str]:
        """Give the follow-up up without an attempt, and return how it ended, for the log."""
        self._finish(followup, reason)
        return {"reason": reason}

    def _handle(self, followup: Followup, deadline: Deadline) -> dict[str, str]:
        """Run a follow-up that is no enrichment, and return how it ended, for the log.

        outcome: what the handler returned, if that is a word of its own for what it did.
        """
        outcome, reason, retryable = None, "", False
        try:
            with self._adapters.time_limit(ATTEMPT_S):
                outcome = self._handlers[followup.kind](followup, deadline)
        except OutOfTime:
            reason, retryable = Reason.OUT_OF_TIME, True
        except errors.EnrichError as exc:
            reason, retryable = exc.reason, exc.retryable
        except Exception:  # an internal error is recorded and retried
            log.exception("follow-up failed", extra={"followup": followup.kind, "task_sid": followup.task_sid})
            reason, retryable = Reason.FAILED, True
        if not self._put_off(followup, reason, retryable=retryable):
            self._finish(followup, reason)
        return {"outcome": outcome, "reason": reason} if outcome else {"reason": reason}

    def _enrich(self, followup: Followup, deadline: Deadline) -> dict[str, str]:
        """Enrich the task as the callback would, and return how it ended, for the log."""
        task_sid = followup.task_sid or ""
        if followup.kind is FollowupKind.WARM and self._adapters.task_states.was_offered(task_sid):
            self._finish(followup)  # the callback came first: it has a follow-up of its own for what it could not do
            return {"outcome": "dropped"}
        run = EnrichmentRun()
        log_fields = {"followup": followup.kind, "task_sid": task_sid}
        with self._enricher.recording(run, ATTEMPT_S, "follow-up failed", **log_fields):
            self._enricher.enrich(
                run, TaskRef(followup.workspace_sid, task_sid, has_marks=True), deadline, patient=False
            )
        if not self._put_off(followup, run.reason, retryable=run.retryable):
            self._record(followup, run, deadline)
            # The customer of a finished task may only be known now.
            now = self._adapters.now()
            self._adapters.followups.wake(NewFollowup(FollowupKind.FINISHED, now, finished_key(task_sid)))
            self._finish(followup, "" if run.outcome is Outcome.ENRICHED else run.reason or Reason.FAILED)
        match = run.match.kind if run.match else ""
        return {"outcome": run.outcome or "", "reason": run.reason, "match": match}

    def _put_off(self, followup: Followup, reason: str, *, retryable: bool) -> bool:
        """Return whether the follow-up was put off: another attempt may succeed, and is left."""
        if not retryable or followup.attempts >= MAX_ATTEMPTS:
            return False
        seconds = min(FIRST_RETRY_S * 2 ** (followup.attempts - 1), MAX_RETRY_S) * self._jitter()
        due_at = self._adapters.now() + timedelta(seconds=seconds)
        self._adapters.followups.put_off(followup, due_at, reason, counts=reason not in _TURNED_AWAY)
        return True

    def _finish(self, followup: Followup, reason: str = "") -> None:
        """Mark the follow-up as done or, with a reason, as given up."""
        if reason:
            self._adapters.followups.give_up(followup, self._adapters.now(), reason)
        else:
            self._adapters.followups.done(followup, self._adapters.now())

    def _record(self, followup: Followup, run: EnrichmentRun, deadline: Deadline) -> None:
        """Add a row of its own to the journal; the callback's row stays as it was."""
        now = self._adapters.now()
        kind = EntryKind.WARM if followup.kind is FollowupKind.WARM else EntryKind.LATE
        delivery = delivery_about(followup, kind, now)
        self._adapters.journal.record(delivery, run.conclusion(deadline.elapsed_ms()), at=now)
