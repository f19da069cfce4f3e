"""One assignment callback, from its receipt to its answer.

    receive    the callback is a row of the journal before anything is done about it; a repeat gets the stored answer
    enrich     identify the customer and write the block (`enrichment`), while there is time
    decide     the policy's rules, the channel's default, the setting (`decision`)
    carry out  over REST, where the settings say so, and only after the block stands on the task
    conclude   the outcome and the answer, committed before the answer leaves

Where the snapshot shows that the whole block stands on the task already, there is nothing to do between the receipt and
the conclusion: then both are one row, committed at once.

Whatever fails, TaskRouter gets an answer that it understands, in time: what the policy decides without knowing the
customer or, at worst, the default instruction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime, Step, StepName
from enrich.domain.deliveries import CallbackResult, Delivery, Receipt, sids
from enrich.domain.outcomes import FollowupKind, Outcome, Reason
from enrich.flows.adapters import Adapters
from enrich.flows.decision import InstructionDecision, by_setting, decide
from enrich.flows.enrichment import Enricher, TaskRef
from enrich.flows.rules import Rules
from enrich.flows.run import EnrichmentRun
from enrich.taskrouter import instructions
from enrich.taskrouter.callbacks import AssignmentCallback
from enrich.taskrouter.instructions import Instruction

# The work ends after 3.5 s at most, so that with the conclusion the answer leaves within 4.0 s.
RECEIPT_S = 0.5
# Two reads tell whether the task is warm; where they take longer than this, the receipt goes first.
WARM_S = 0.25
# A busy database gets this long to take the conclusion of work that was done early.
CONCLUSION_S = 1.5
# However late the work ended, by then the answer is on its way; the worker finds what is not concluded.
ANSWER_DUE_S = 3.9
# Under overload, the way out takes a few long turns of the loop.
OVERLOAD_ANSWER_DUE_S = 3.5
# TaskRouter asks the fallback endpoint when it has lost 5 s already.
FALLBACK_RECEIPT_S = 0.2
# A channel that the journal does not return within this is inferred.
CHANNEL_S = 0.3
# A repeat polls for the first try's answer: soon at first, then less and less often.
FIRST_POLL_S = 0.02
MAX_POLL_S = 0.25

log = logging.getLogger(__name__)


class AssignmentHandler:
    """Answers assignment callbacks. Safe to share between greenlets and threads.

    overload_answer_due_s: seconds after its arrival until a callback that is shed waits to be recorded.
    """

    def __init__(
        self,
        adapters: Adapters,
        rules: Rules,
        enricher: Enricher,
        *,
        overload_answer_due_s: float = OVERLOAD_ANSWER_DUE_S,
    ) -> None:
        self._adapters = adapters
        self._rules = rules
        self._enricher = enricher
        self._overload_answer_due_s = overload_answer_due_s

    def handle(self, callback: AssignmentCallback, deadline: Deadline) -> CallbackResult:
        """Return the answer to one assignment callback, stored before it is returned. Raises no expected error."""
        delivery = callback.delivery
        warm = self._find_warm(callback, deadline)
        run = warm[0] if warm else EnrichmentRun()
        try:
            if warm:
                return self._conclude_at_once(*warm, delivery, deadline)
            receipt = self._receive(run, delivery, partial(self._adapters.journal.receive, delivery), deadline)
        except errors.DatabaseBusy:  # the database is well, and this process has too many callbacks
            return self.answer_at_once(callback, Reason.OVERLOAD, deadline)
        if receipt is None:
            answer = instructions.to_json(decide(callback, run, self._rules).instruction)
            return CallbackResult(answer, Outcome.NOT_TRIED, Reason.NOT_RECORDED, steps=_steps(run))
        if receipt.is_repeat:
            answer = self._answer_of_first(receipt, callback, deadline)
            return CallbackResult(answer, is_repeat=True, steps=_steps(run), entry_id=receipt.entry_id)

        decision: InstructionDecision | None = None
        is_done = False
        with self._enricher.recording(run, deadline.remaining_s(), "assignment failed", **sids(delivery)):
            self._enricher.enrich(run, _task_ref(callback), deadline)
            decision = decide(
                callback, run, self._rules, lambda: recorded_channel(self._adapters, run, callback, deadline)
            )
            is_done = self._carry_out(run, callback, decision.instruction, deadline)
        if decision is None:
            # After an internal error the policy is not asked again: it may be what failed.
            has_failed = run.outcome is Outcome.FAILED
            decision = by_setting(callback, self._rules) if has_failed else decide(callback, run, self._rules)
        return self._conclude(run, delivery, receipt, decision, deadline, is_done=is_done)

    def answer_at_once(self, callback: AssignmentCallback, reason: Reason, deadline: Deadline) -> CallbackResult:
        """Return the stored answer, if it can be had soon, else the policy's without a customer: no look-up, no write.

        reason: why. The fallback endpoint waits 0.2 s for the database; a callback that is shed waits for its turn to
        be recorded for as long as its answer can still be in time, and is recorded later where that is not enough. A
        reservation that was never seen before becomes a receipt without conclusion, which the worker finds and
        enriches.
        """
        default = instructions.to_json(decide(callback, EnrichmentRun(), self._rules).instruction)
        delivery, journal = replace(callback.delivery, reason=reason), self._adapters.journal
        try:
            if reason is Reason.OVERLOAD:
                timeout_s = _until_s(self._overload_answer_due_s, deadline)
                receipt = journal.receive_grouped(delivery, timeout_s=timeout_s, answer=default)
            else:
                with self._adapters.time_limit(FALLBACK_RECEIPT_S):
                    receipt = journal.receive(delivery, timeout_s=FALLBACK_RECEIPT_S, answer=default)
        except errors.NotYetRecorded:
            log.warning("receipt not recorded yet", extra=sids(delivery))
            return CallbackResult(default, Outcome.NOT_TRIED, reason)
        except (errors.DatabaseError, OutOfTime) as exc:
            _log_not_recorded("receipt", delivery, exc)
            return CallbackResult(default, Outcome.NOT_TRIED, Reason.NOT_RECORDED)
        answer = receipt.answer or default
        return CallbackResult(answer, Outcome.NOT_TRIED, reason, is_repeat=receipt.is_repeat, entry_id=receipt.entry_id)

    def _find_warm(
        self, callback: AssignmentCallback, deadline: Deadline
    ) -> tuple[EnrichmentRun, InstructionDecision] | None:
        """Return the run of a task that is enriched already, and the decision; None if it is not, or not known soon.

        Only reads. What fails here fails again after the receipt, and is recorded then.
        """
        if self._rules.attribute not in (callback.attributes or ()) or self._rules.accept_via == "rest":
            return None
        run = EnrichmentRun()
        try:
            with self._adapters.time_limit(deadline.share_s(WARM_S)):
                if not self._enricher.stands_already(run, _task_ref(callback)):
                    return None
                return run, decide(
                    callback, run, self._rules, lambda: recorded_channel(self._adapters, run, callback, deadline)
                )
        except (Exception, OutOfTime):
            return None

    def _conclude_at_once(
        self, run: EnrichmentRun, decision: InstructionDecision, delivery: Delivery, deadline: Deadline
    ) -> CallbackResult:
        """Return the answer after committing receipt and conclusion as one row. Raises DatabaseBusy as `_receive`."""
        answer = instructions.to_json(decision.instruction)
        explained = decision.to_journal() if self._rules.policy.decides else None
        conclusion = run.conclusion(deadline.elapsed_ms(), explained)
        receive = partial(
            self._adapters.journal.receive_concluded, delivery, conclusion, at=self._adapters.now(), answer=answer
        )
        receipt = self._receive(run, delivery, receive, deadline)
        if receipt is None:
            return CallbackResult(answer, Outcome.NOT_TRIED, Reason.NOT_RECORDED, steps=_steps(run))
        stored = receipt.answer or answer
        if receipt.is_repeat:
            return CallbackResult(stored, is_repeat=True, steps=_steps(run), entry_id=receipt.entry_id)
        return _result(stored, run, explained, decision, receipt)

    def _receive(
        self, run: EnrichmentRun, delivery: Delivery, receive: Callable[..., Receipt], deadline: Deadline
    ) -> Receipt | None:
        """Return the receipt, or None if the database did not take it in time; the answer cannot wait for it.

        receive: makes the receipt within its `timeout_s`. Raises DatabaseBusy when the database was well all the time,
        and other callbacks of this process were before this one.
        """
        timeout_s = deadline.share_s(RECEIPT_S)
        began_at = deadline.now()
        try:
            with run.stopwatch.step(StepName.RECEIVE), self._adapters.time_limit(timeout_s):
                return receive(timeout_s=timeout_s * 0.9)  # sooner than the clock, so that the error names the cause
        except errors.DatabaseBusy:
            raise
        except (errors.DatabaseError, OutOfTime) as exc:
            was_us = isinstance(exc, OutOfTime) and exc.came_late(deadline.now)
            others_were_answered = self._adapters.journal.was_answered_since(began_at)
            is_alive = others_were_answered and isinstance(exc, OutOfTime | errors.DatabaseUnavailable)
            if was_us or is_alive:
                raise errors.DatabaseBusy("it answered others meanwhile, or this process was slow") from None
            _log_not_recorded("receipt", delivery, exc)
            return None

    def _answer_of_first(self, receipt: Receipt, callback: AssignmentCallback, deadline: Deadline) -> str:
        """Return the answer to the first try of this reservation, waited for until this request's own deadline."""
        stored, pause_s, journal = receipt.answer, FIRST_POLL_S, self._adapters.journal
        try:
            with self._adapters.time_limit(deadline.remaining_s()):
                while stored is None and not receipt.is_concluded and deadline.remaining_s() > 0:
                    self._adapters.pause(pause_s)
                    pause_s = min(pause_s * 1.5, MAX_POLL_S)
                    stored = journal.stored_answer(receipt.entry_id)
        except (errors.DatabaseError, OutOfTime):
            stored = None
        if stored is not None:
            return stored
        answer = instructions.to_json(decide(callback, EnrichmentRun(), self._rules).instruction)
        try:
            timeout_s = _until_s(ANSWER_DUE_S, deadline)
            with self._adapters.time_limit(timeout_s):
                return journal.answer(receipt.entry_id, answer, timeout_s=timeout_s)
        except (errors.DatabaseError, OutOfTime):
            return answer

    def _carry_out(
        self, run: EnrichmentRun, callback: AssignmentCallback, instruction: Instruction, deadline: Deadline
    ) -> bool:
        """Return whether the instruction was carried out over REST after the write; then nothing is left to answer.

        An instruction that dials somebody is tried once: after a failure with unknown result, TaskRouter itself
        refuses the second of two.
        """
        fields = instructions.rest_form(instruction) if self._rules.accept_via == "rest" else None
        if fields is None or run.outcome is not Outcome.ENRICHED:
            return False
        delivery = callback.delivery

        def ask() -> None:
            with run.stopwatch.step(StepName.ACCEPT if instruction == instructions.ACCEPT else StepName.INSTRUCT):
                self._adapters.taskrouter.instruct(
                    delivery.workspace_sid,
                    delivery.task_sid or "",
                    delivery.reservation_sid or "",
                    fields,
                    timeout_s=deadline.remaining_s(),
                )

        try:
            self._enricher.patiently(ask, deadline, patient=instructions.is_repeatable(instruction))
        except errors.TaskRouterError:
            return False  # the step has the reason; TaskRouter can still do it itself
        return True

    def _conclude(
        self,
        run: EnrichmentRun,
        delivery: Delivery,
        receipt: Receipt,
        decision: InstructionDecision,
        deadline: Deadline,
        *,
        is_done: bool,
    ) -> CallbackResult:
        """Store conclusion and answer, and return what is stored. is_done: the instruction was carried out already."""
        answer = instructions.to_json(instructions.DEFER if is_done else decision.instruction)
        explained = decision.to_journal() if self._rules.policy.decides else None
        owe = FollowupKind.ENRICH if run.retryable and delivery.task_sid else None
        timeout_s = min(CONCLUSION_S, _until_s(ANSWER_DUE_S, deadline))
        try:
            with run.stopwatch.step(StepName.CONCLUDE), self._adapters.time_limit(timeout_s):
                stored = self._adapters.journal.conclude(
                    receipt.entry_id,
                    run.conclusion(deadline.elapsed_ms(), explained),
                    at=self._adapters.now(),
                    timeout_s=timeout_s,
                    answer=answer,
                    followup=owe,
                )
        except (errors.DatabaseError, OutOfTime) as exc:
            _log_not_recorded("conclusion", delivery, exc)  # the worker adopts the receipt without one
            stored = answer
        return _result(stored or answer, run, explained, decision, receipt)


def recorded_channel(
    adapters: Adapters, run: EnrichmentRun, callback: AssignmentCallback, deadline: Deadline
) -> str | None:
    """Return the task's channel from an event; None if no event has it, or the journal does not answer soon."""
    task_sid = callback.delivery.task_sid
    if task_sid is None:
        return None
    try:
        with run.stopwatch.step(StepName.CHANNEL), adapters.time_limit(deadline.share_s(CHANNEL_S)):
            return adapters.journal.channel_of(task_sid)
    except (errors.DatabaseError, OutOfTime):
        return None  # then it is inferred, which is better than to let the caller wait


def _result(
    stored: str,
    run: EnrichmentRun,
    explained: Mapping[str, Any] | None,
    decision: InstructionDecision,
    receipt: Receipt,
) -> CallbackResult:
    return CallbackResult(
        stored,
        run.outcome,
        run.reason,
        run.match.kind if run.match else "",
        rule=decision.name if explained else "",
        steps=_steps(run),
        entry_id=receipt.entry_id,
    )


def _until_s(due_s: float, deadline: Deadline) -> float:
    """Return the seconds left until so many seconds after the request's arrival; never negative."""
    return max(0.0, due_s - deadline.elapsed_ms() / 1000)


def _task_ref(callback: AssignmentCallback) -> TaskRef:
    delivery = callback.delivery
    return TaskRef(
        delivery.workspace_sid, delivery.task_sid or "", callback.raw_attributes, attributes=callback.attributes
    )


def _steps(run: EnrichmentRun) -> tuple[Step, ...]:
    return tuple(run.stopwatch.steps)


def _log_not_recorded(part: str, delivery: Delivery, exc: BaseException) -> None:
    reason = getattr(exc, "reason", Reason.OUT_OF_TIME)
    log.error("%s not recorded", part, extra=sids(delivery) | {"reason": reason, "detail": str(exc)})
