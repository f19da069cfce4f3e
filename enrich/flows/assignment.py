"""One assignment, from payload to answer.

    receive    the callback is a row of the journal before anything is done about it; a repeat gets the stored answer
    enrich     who is it, written onto the task (enrichment.py), while there is time
    decide     what TaskRouter is told: the policy's rules, the channel's default, the setting (decision.py)
    carry out  over REST, where the settings say so, and only after the block stands on the task
    conclude   how it ended, and the answer, committed before the answer leaves

Where the snapshot shows that the whole block stands on the task already, there is nothing to do between the receipt and
the conclusion: then both are one row, committed at once.

Whatever goes wrong, TaskRouter is told something it understands, in time: what the policy says without knowing the
customer, or the default instruction, at the worst.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime, Step
from enrich.domain.deliveries import CallbackResult, Delivery, Receipt, sids
from enrich.domain.outcomes import FollowupKind, Outcome, Reason
from enrich.flows.decision import CallbackContext, InstructionDecision, by_setting, decide
from enrich.flows.enrichment import TaskRef, enrich, patiently, stands_already
from enrich.flows.work import Adapters, EnrichmentRun, conclusion_of, too_slow
from enrich.taskrouter import callbacks, instructions
from enrich.taskrouter.callbacks import AssignmentCallback, Form
from enrich.taskrouter.instructions import Instruction

# The work ends after 3.5 s at most, so that with the conclusion the answer leaves within 4.0 s.
RECEIPT_S = 0.5
# To see whether the task is warm takes two reads; where they take longer than this, the receipt goes first.
WARM_S = 0.25
# A busy database gets this long to take the conclusion of work that was soon done.
CONCLUSION_S = 1.5
# However late the work ended, by then the answer is on its way; what is not concluded is found by the worker.
ANSWERED_BY_S = 3.9
# Under more load than we carry, the way out takes a few long turns of the loop.
ANSWERED_UNDER_LOAD_BY_S = 3.5
# The fallback endpoint is asked when TaskRouter has lost 5 s already.
AT_ONCE_S = 0.2
# A channel that is not told within this is inferred.
CHANNEL_S = 0.3
# How often a repeat looks whether the first try has its answer: soon at first, then less and less often.
FIRST_LOOK_S = 0.02
LONGEST_PAUSE_S = 0.25

log = logging.getLogger(__name__)


def handle(delivery: Delivery, form: Form, adapters: Adapters, deadline: Deadline) -> CallbackResult:
    """The answer to one assignment callback, stored before it is returned. Raises nothing that can be foreseen."""
    question = CallbackContext(form)
    warm = _found_warm(form, question, adapters, deadline)
    work = warm[0] if warm else EnrichmentRun()
    try:
        if warm:
            return _conclude_at_once(*warm, delivery, adapters, deadline)
        receipt = _receive(work, delivery, partial(adapters.journal.receive, delivery), adapters, deadline)
    except errors.DatabaseBusy:  # the database is well, and there are too many of us
        return answer_at_once(delivery, form, adapters, Reason.OVERLOAD, deadline)
    if receipt is None:
        answer = instructions.to_json(decide(question, work, adapters.rules).instruction)
        return CallbackResult(answer, Outcome.NOT_TRIED, Reason.NOT_RECORDED, steps=_steps(work))
    if receipt.is_repeat:
        answer = _answer_of_first(receipt, question, adapters, deadline)
        return CallbackResult(answer, is_repeat=True, steps=_steps(work), entry_id=receipt.entry_id)

    decision, is_done = None, False
    try:
        with adapters.time_limit(deadline.remaining_s()):
            callback = callbacks.parse_assignment(form)
            enrich(work, _subject(callback, question), adapters, deadline)
            decision = decide(
                question, work, adapters.rules, lambda: _stored_channel(work, callback, adapters, deadline)
            )
            is_done = _carry_out(work, callback, decision.instruction, adapters, deadline)
    except OutOfTime:
        if work.outcome is None:
            work.ended(Outcome.OUT_OF_TIME, too_slow(work), retryable=True)
    except errors.MalformedPayload as exc:
        work.ended(Outcome.MALFORMED, exc.reason)
    except Exception:  # a mistake of ours: recorded, mended later, and no reason to keep a caller waiting
        log.exception("assignment failed", extra=sids(delivery))
        work.ended(Outcome.FAILED, Reason.FAILED, retryable=True)
        decision = decision or by_setting(question, adapters.rules)
    decision = decision or decide(question, work, adapters.rules)
    return _conclude(work, delivery, receipt, decision, adapters, deadline, is_done=is_done)


def answer_at_once(
    delivery: Delivery, form: Form, adapters: Adapters, reason: Reason, deadline: Deadline
) -> CallbackResult:
    """The stored answer, if it can be had soon, else what the policy says of nobody: no look-up, no write.

    reason: why. The fallback endpoint waits 0.2 s for the database; of more than we work on, each waits for its turn to
    be recorded for as long as its answer can still be in time, and is recorded later where that is not enough. A
    reservation that was never seen before becomes a receipt without conclusion, which the worker finds and enriches.
    """
    default = instructions.to_json(decide(CallbackContext(form), EnrichmentRun(), adapters.rules).instruction)
    delivery = replace(delivery, reason=reason)
    try:
        if reason is Reason.OVERLOAD:
            seconds = _until_s(ANSWERED_UNDER_LOAD_BY_S, deadline)
            receipt = adapters.journal.receive_among_many(delivery, timeout_s=seconds, answer=default)
        else:
            with adapters.time_limit(AT_ONCE_S):
                receipt = adapters.journal.receive(delivery, timeout_s=AT_ONCE_S, answer=default)
    except errors.NotYetRecorded:
        log.warning("receipt not recorded yet", extra=sids(delivery))
        return CallbackResult(default, Outcome.NOT_TRIED, reason)
    except (errors.DatabaseError, OutOfTime) as exc:
        _not_recorded("receipt", delivery, exc)
        return CallbackResult(default, Outcome.NOT_TRIED, Reason.NOT_RECORDED)
    answer = receipt.answer or default
    return CallbackResult(answer, Outcome.NOT_TRIED, reason, is_repeat=receipt.is_repeat, entry_id=receipt.entry_id)


def _found_warm(
    form: Form, question: CallbackContext, adapters: Adapters, deadline: Deadline
) -> tuple[EnrichmentRun, InstructionDecision] | None:
    """The work that is done already, and the decision; None where it is not done, or cannot be seen soon.

    Only reads. What goes wrong here goes wrong again after the receipt, and is recorded then.
    """
    if adapters.rules.attribute not in (question.attributes or ()) or adapters.rules.accept_via == "rest":
        return None
    work = EnrichmentRun()
    try:
        with adapters.time_limit(deadline.share_s(WARM_S)):
            callback = callbacks.parse_assignment(form)
            if not stands_already(work, _subject(callback, question), adapters):
                return None
            return work, decide(
                question, work, adapters.rules, lambda: _stored_channel(work, callback, adapters, deadline)
            )
    except (Exception, OutOfTime):
        return None


def _conclude_at_once(
    work: EnrichmentRun, decision: InstructionDecision, delivery: Delivery, adapters: Adapters, deadline: Deadline
) -> CallbackResult:
    """The answer, after receipt and conclusion were committed as one row. Raises DatabaseBusy as `_receive` does."""
    answer = instructions.to_json(decision.instruction)
    told = decision.told() if adapters.rules.policy.decides else None
    conclusion = conclusion_of(work, deadline.elapsed_ms(), told)

    receive = partial(adapters.journal.receive_concluded, delivery, conclusion, at=adapters.now(), answer=answer)
    receipt = _receive(work, delivery, receive, adapters, deadline)
    if receipt is None:
        return CallbackResult(answer, Outcome.NOT_TRIED, Reason.NOT_RECORDED, steps=_steps(work))
    stored = receipt.answer or answer
    if receipt.is_repeat:
        return CallbackResult(stored, is_repeat=True, steps=_steps(work), entry_id=receipt.entry_id)
    return _answered(stored, work, told, decision, receipt)


def _receive(
    work: EnrichmentRun, delivery: Delivery, receive: Callable[..., Receipt], adapters: Adapters, deadline: Deadline
) -> Receipt | None:
    """The receipt, or None: the database did not take it in time, and the answer cannot wait for it.

    receive: makes it, within its `timeout_s`. Raises DatabaseBusy when the database was well all the time, and others
    of this process were before us.
    """
    seconds = deadline.share_s(RECEIPT_S)
    began_at = deadline.now()
    try:
        with work.stopwatch.step("receive"), adapters.time_limit(seconds):
            return receive(timeout_s=seconds * 0.9)  # so that it is told whose fault it is
    except errors.DatabaseBusy:
        raise
    except (errors.DatabaseError, OutOfTime) as exc:
        was_us = isinstance(exc, OutOfTime) and exc.came_late(deadline.now)
        others_were_answered = adapters.journal.was_answered_since(began_at)
        is_alive = others_were_answered and isinstance(exc, OutOfTime | errors.DatabaseUnavailable)
        if was_us or is_alive:
            raise errors.DatabaseBusy("it answered others meanwhile, or we were slow") from None
        _not_recorded("receipt", delivery, exc)
        return None


def _answer_of_first(receipt: Receipt, question: CallbackContext, adapters: Adapters, deadline: Deadline) -> str:
    """What the first try of this reservation was answered, waited for until this request's own deadline."""
    stored, pause_s = receipt.answer, FIRST_LOOK_S
    try:
        with adapters.time_limit(deadline.remaining_s()):
            while stored is None and not receipt.is_concluded and deadline.remaining_s() > 0:
                adapters.pause(pause_s)
                pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
                stored = adapters.journal.stored_answer(receipt.entry_id)
    except (errors.DatabaseError, OutOfTime):
        stored = None
    if stored is not None:
        return stored
    answer = instructions.to_json(decide(question, EnrichmentRun(), adapters.rules).instruction)
    try:
        seconds = _until_s(ANSWERED_BY_S, deadline)
        with adapters.time_limit(seconds):
            return adapters.journal.answer(receipt.entry_id, answer, timeout_s=seconds)
    except (errors.DatabaseError, OutOfTime):
        return answer


def _stored_channel(
    work: EnrichmentRun, callback: AssignmentCallback, adapters: Adapters, deadline: Deadline
) -> str | None:
    """The task's channel, as an event told it; None where none has, or the journal does not answer soon."""
    try:
        with work.stopwatch.step("channel"), adapters.time_limit(deadline.share_s(CHANNEL_S)):
            return adapters.journal.channel_of(callback.task_sid)
    except (errors.DatabaseError, OutOfTime):
        return None  # then it is inferred, which is better than to let the caller wait


def _carry_out(
    work: EnrichmentRun, callback: AssignmentCallback, instruction: Instruction, adapters: Adapters, deadline: Deadline
) -> bool:
    """Whether the instruction was carried out over REST after the write; then there is nothing left to answer.

    What dials somebody is tried once: after a failure that tells nothing, TaskRouter itself refuses the second of two.
    """
    fields = instructions.rest_form(instruction) if adapters.rules.accept_via == "rest" else None
    if fields is None or work.outcome is not Outcome.ENRICHED:
        return False

    def ask() -> None:
        with work.stopwatch.step("accept" if instruction == instructions.ACCEPT else "instruct"):
            adapters.taskrouter.instruct(
                callback.workspace_sid,
                callback.task_sid,
                callback.reservation_sid,
                fields,
                timeout_s=deadline.remaining_s(),
            )

    try:
        patiently(ask, adapters, deadline, patient=instructions.is_repeatable(instruction))
    except errors.TaskRouterError:
        return False  # the step has the reason; TaskRouter can still do it itself
    return True


def _conclude(
    work: EnrichmentRun,
    delivery: Delivery,
    receipt: Receipt,
    decision: InstructionDecision,
    adapters: Adapters,
    deadline: Deadline,
    *,
    is_done: bool,
) -> CallbackResult:
    """is_done: the instruction was carried out already."""
    answer = instructions.to_json(instructions.DEFER if is_done else decision.instruction)
    told = decision.told() if adapters.rules.policy.decides else None
    owe = FollowupKind.ENRICH if work.retryable and delivery.task_sid else None
    seconds = min(CONCLUSION_S, _until_s(ANSWERED_BY_S, deadline))
    try:
        with work.stopwatch.step("conclude"), adapters.time_limit(seconds):
            stored = adapters.journal.conclude(
                receipt.entry_id,
                conclusion_of(work, deadline.elapsed_ms(), told),
                at=adapters.now(),
                timeout_s=seconds,
                answer=answer,
                owe=owe,
            )
    except (errors.DatabaseError, OutOfTime) as exc:
        _not_recorded("conclusion", delivery, exc)  # the worker finds the receipt without one, and sees to it
        stored = answer
    return _answered(stored or answer, work, told, decision, receipt)


def _answered(
    stored: str, work: EnrichmentRun, told: Mapping[str, Any] | None, decision: InstructionDecision, receipt: Receipt
) -> CallbackResult:
    match = work.match.kind if work.match else ""
    return CallbackResult(
        stored,
        work.outcome,
        work.reason,
        match,
        rule=decision.name if told else "",
        steps=_steps(work),
        entry_id=receipt.entry_id,
    )


def _until_s(seconds: float, deadline: Deadline) -> float:
    """How long it is until so many seconds after the request arrived; never negative."""
    return max(0.0, seconds - deadline.elapsed_ms() / 1000)


def _subject(callback: AssignmentCallback, question: CallbackContext) -> TaskRef:
    return TaskRef(
        callback.workspace_sid, callback.task_sid, callback.raw_task_attributes, attributes=question.attributes
    )


def _steps(work: EnrichmentRun) -> tuple[Step, ...]:
    return tuple(work.stopwatch.steps)


def _not_recorded(what: str, delivery: Delivery, exc: BaseException) -> None:
    reason = getattr(exc, "reason", Reason.OUT_OF_TIME)
    log.error("%s not recorded", what, extra=sids(delivery) | {"reason": reason, "detail": str(exc)})
