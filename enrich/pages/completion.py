"""The state of one task, and the two buttons that end it.

Wrapping up and completing are asked for, and then tried at once: what TaskRouter does not take now, a worker goes on
trying, and the task's follow-ups tell how it went.
"""

from __future__ import annotations

from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts.tables import Role
from enrich.domain.lengths import MAX_TASK_OUTCOME_LENGTH
from enrich.domain.outcomes import TASK_END_EVENTS, FollowupKind
from enrich.domain.tasks import TaskState
from enrich.flows.completion import CompletionRequest
from enrich.journal.task_states import TaskStates
from enrich.journal.timeline import Timeline
from enrich.pages import formatting, notices
from enrich.pages.notices import Done, Notice
from enrich.pages.sessions import needs, require_sign_in, signed_in
from enrich.services import current_services

bp = Blueprint("completing", __name__)
bp.before_request(require_sign_in)


@bp.post("/tasks/<task_sid>/wrap-up")
@needs(Role.EDITOR)
def wrap_up(task_sid: str) -> ResponseReturnValue:
    """Wrap up the task."""
    return _carry_out(FollowupKind.WRAP_UP, task_sid)


@bp.post("/tasks/<task_sid>/complete")
@needs(Role.EDITOR)
def complete(task_sid: str) -> ResponseReturnValue:
    """Complete the task. Form: `outcome`, for the customer's history; `reason`, for TaskRouter; both may be empty."""
    outcome, reason = (request.form.get(name, "").strip()[:MAX_TASK_OUTCOME_LENGTH] for name in ("outcome", "reason"))
    return _carry_out(FollowupKind.COMPLETE, task_sid, outcome, reason)


def state_of(task_states: TaskStates, task_sid: str | None) -> TaskState | None:
    """Return the state of this task; None if nothing unusual has happened to it."""
    return task_states.of(task_sid) if task_sid else None


@bp.app_template_global()
def can_be_ended(story: Timeline) -> bool:
    """Return whether the task was offered to a worker and is not known to be over."""
    over = any(entry.event_type in TASK_END_EVENTS for entry in story.entries)
    return formatting.is_plain_sid(story.task_sid) and any(entry.is_callback for entry in story.entries) and not over


def _carry_out(kind: FollowupKind, task_sid: str, outcome: str = "", reason: str = "") -> ResponseReturnValue:
    services = current_services()
    workspace_sid = services.adapters.task_states.workspace_of(task_sid) if formatting.is_plain_sid(task_sid) else None
    reader = signed_in()
    if workspace_sid is None or reader is None:
        abort(404)
    completion_request = CompletionRequest(kind, workspace_sid, task_sid, reader.email, outcome, reason)
    is_over, failure = services.dispatcher.run_now(services.completion.request(completion_request))
    done = Done.WRAPPED_UP if kind is FollowupKind.WRAP_UP else Done.COMPLETED
    notices.flash(Notice(done, reason=failure, is_over=is_over))
    return redirect(url_for("pages.task", task_sid=task_sid), code=303)
