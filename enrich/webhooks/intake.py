"""What every way in has in common: who sent it, what was delivered, what the log tells. No Flask: see `shedding.py`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus

from enrich import errors
from enrich.domain.deadline import Deadline, Step
from enrich.domain.deliveries import CallbackResult, Delivery, sids
from enrich.domain.outcomes import EntryKind
from enrich.services import Services
from enrich.settings import Settings
from enrich.taskrouter import callbacks, signature
from enrich.taskrouter.callbacks import Form

log = logging.getLogger(__name__)


class Refused(Exception):
    """Not let in. The status and one line for the answer, and the reason; the log has been told already."""

    def __init__(self, status: HTTPStatus, reason: str, told: str) -> None:
        super().__init__(told)
        self.status = status
        self.reason = reason
        self.told = told


def verified_form(body: bytes, path: str, query: str, signed: str | None, settings: Settings) -> Form:
    """The form in this body, sent by our account, for our workspace.

    path, query: of the request, as they came; what Twilio signed is rebuilt from PUBLIC_URL. signed: the header
    X-Twilio-Signature, None where there is none. Raises Refused: 403, and nothing but a log line is left.
    """
    pairs = callbacks.split_form(body)
    url = settings.public_url + path + (f"?{query}" if query else "")
    tokens = [token for token in (settings.twilio_auth_token, settings.twilio_auth_token_next) if token]
    try:
        signature.verify(url, pairs, body, signed, tokens)
    except errors.InvalidSignature as exc:
        log.warning("refused", extra={"reason": exc.reason, "detail": str(exc)})
        raise Refused(HTTPStatus.FORBIDDEN, exc.reason, "the signature is missing or wrong") from None
    form = callbacks.read_form(pairs)
    if settings.twilio_workspace_sid and form.get("WorkspaceSid") != settings.twilio_workspace_sid:
        log.warning("refused", extra={"reason": "other_workspace"})
        raise Refused(HTTPStatus.FORBIDDEN, "other_workspace", "this is not the workspace that is served here")
    return form


def delivery_of(kind: EntryKind, form: Form, body: bytes, received_at: datetime) -> Delivery:
    """The delivery as the journal keeps it; what is missing or no SID stays empty."""
    reservation_sid = callbacks.sid_or_none(form, "ReservationSid", "WR")
    return Delivery(
        kind=kind,
        received_at=received_at,
        delivery_key=callbacks.sid_or_none(form, "Sid", "EV") if kind is EntryKind.EVENT else reservation_sid,
        workspace_sid=callbacks.sid_or_none(form, "WorkspaceSid", "WS") or "",
        task_sid=callbacks.sid_or_none(form, "TaskSid", "WT"),
        reservation_sid=reservation_sid,
        worker_sid=callbacks.sid_or_none(form, "WorkerSid", "WK") or "",
        worker_name=callbacks.worker_name(form),
        event_type=form.get("EventType", "")[:64],
        task_channel=callbacks.task_channel(form),
        channel_unique_name=form.get("TaskChannelUniqueName", "")[:64] or None,
        task_queue_sid=callbacks.sid_or_none(form, "TaskQueueSid", "WQ") or "",
        task_queue_name=form.get("TaskQueueName", ""),
        body=body,
    )


def tell(
    delivery: Delivery,
    answered: CallbackResult,
    deadline: Deadline,
    services: Services,
    *,
    waited_s: float,
    idempotency_token: str,
) -> None:
    """What became of a callback is counted, told in one line of the log, and traced where that was asked for.

    waited_s: how long it lay there before we came to look at it. idempotency_token: the header that tells TaskRouter's
    attempts apart, "" where there is none.
    """
    elapsed_ms, left_s = deadline.elapsed_ms(), deadline.remaining_s()
    told = (answered.outcome, answered.reason, answered.steps)
    services.metrics.callback(delivery.kind, *told, elapsed_s=elapsed_ms / 1000, left_s=left_s)
    log.info(
        "assignment",
        extra={
            **sids(delivery),
            "entry": answered.entry_id,
            "idempotency_token": idempotency_token[:64],
            "endpoint": delivery.kind,
            "outcome": answered.outcome or "repeat",
            "reason": answered.reason,
            "match": answered.match,
            "rule": answered.rule,
            "is_repeat": answered.is_repeat,
            "elapsed_ms": elapsed_ms,
            "waited_ms": round(waited_s * 1000),
            "left_ms": round(left_s * 1000),
            "steps": times(answered.steps),
        },
    )
    if services.tracing:
        services.tracing.callback(delivery, answered, deadline.began_at)


def times(steps: Iterable[Step]) -> dict[str, float]:
    """Milliseconds by name; what was done again counts together."""
    by_name: dict[str, float] = {}
    for step in steps:
        by_name[step.name] = round(by_name.get(step.name, 0.0) + step.elapsed_ms, 2)
    return by_name
