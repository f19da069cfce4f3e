"""The reader's own sessions: where they are signed in, and signing out there."""

from __future__ import annotations

import logging

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts.sessions import Sessions, StaffSession
from enrich.database.types import MAX_ROW_ID
from enrich.pages import notices
from enrich.pages.notices import Done, Notice
from enrich.pages.sessions import current_session, require_sign_in
from enrich.services import current_services

log = logging.getLogger(__name__)
bp = Blueprint("sessions", __name__, url_prefix="/sessions")
bp.before_request(require_sign_in)


@bp.get("")
def index() -> ResponseReturnValue:
    """List the reader's sessions, the last used first."""
    services, present = current_services(), _present()
    now = services.adapters.now()
    return render_template(
        "sessions/index.html",
        sessions=Sessions(services.database).list_of(present.user, now),
        present=present.id,
        now=now,
    )


@bp.post("/<int:session_id>/end")
def end(session_id: int) -> ResponseReturnValue:
    """Sign the reader out in another browser."""
    present = _present()
    if session_id > MAX_ROW_ID or not Sessions(current_services().database).end(present.user.id, session_id):
        abort(404)
    return _ended(Done.SESSION_ENDED, present, 1)


@bp.post("/end-others")
def end_others() -> ResponseReturnValue:
    """Sign the reader out in every browser but this one."""
    present = _present()
    return _ended(
        Done.OTHER_SESSIONS_ENDED,
        present,
        Sessions(current_services().database).end_all(present.user.id, but=present.id),
    )


def _ended(done: Done, present: StaffSession, count: int) -> ResponseReturnValue:
    log.info("sessions ended", extra={"user_id": present.user.id, "by_user_id": present.user.id, "count": count})
    notices.flash(Notice(done))
    return redirect(url_for("sessions.index"))


def _present() -> StaffSession:
    return current_session() or abort(403)
