"""The reader's own password: changed by whoever knows the present one.

What an admin has set is known to two people, and travelled: until its owner has chosen another one,
`sessions.require_sign_in` lets them to no other page.
"""

from __future__ import annotations

import logging
import math

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts import attempts, passwords, users
from enrich.accounts.attempts import Attempts
from enrich.accounts.users import User
from enrich.pages import notices, sessions
from enrich.pages.notices import Done, Notice
from enrich.pages.refusals import log_refusal
from enrich.pages.sessions import require_sign_in, signed_in
from enrich.services import current_services

log = logging.getLogger(__name__)
bp = Blueprint("password", __name__, url_prefix="/password")
bp.before_request(require_sign_in)


@bp.get("")
def form() -> ResponseReturnValue:
    """Show the form."""
    return _page({})


@bp.post("")
def change() -> ResponseReturnValue:
    """Set the new password, and end the reader's other sessions; or show the form again, with what is wrong.

    The present password is asked for, since the session may be somebody else's by now; so its attempts are limited.
    """
    passwords.require_room()
    services, reader = current_services(), signed_in() or abort(403)
    counted, now, attempt = Attempts(services.database), services.adapters.now(), attempts.of_reader(reader.id)
    wait_s = math.ceil(counted.admit(attempt, now))
    if wait_s:
        log_refusal("password refused", "too_many_attempts")
        return _page({}, wait_s=wait_s)
    if not passwords.is_right(request.form.get("present", ""), reader.password_hash):
        log_refusal("password refused", "wrong_password")
        return _page({"present": "This is not your password."})
    problems = _problems(reader)
    counted.succeeded(attempt, now)
    if problems:
        return _page(problems)
    user = users.set_password(services.database, reader.email, request.form["new"]) or abort(403)
    sessions.begin(user)
    log.info("password set", extra={"user_id": user.id, "by_user_id": user.id, "address": request.remote_addr})
    notices.flash(Notice(Done.OWN_PASSWORD_CHANGED))
    return redirect(url_for("password.form"))


def _problems(reader: User) -> dict[str, str]:
    """Return what is wrong with the new password, by field."""
    new = request.form.get("new", "")
    problem = passwords.problem(new, (reader.email, reader.name))
    if not problem and new == request.form["present"]:
        problem = "This is your present password. Choose another."
    if problem:
        return {"new": problem}
    return {} if new == request.form.get("again") else {"again": "This is not the same password."}


def _page(problems: dict[str, str], *, wait_s: int = 0) -> Response:
    """Return the page with its status. problems: by field. wait_s: the seconds before the next attempt; 0 for none."""
    page = render_template("password.html", problems=problems, wait_s=wait_s, shortest=passwords.MIN_LENGTH)
    response = make_response(page, 429 if wait_s else 422 if problems else 200)
    if wait_s:
        response.headers["Retry-After"] = str(wait_s)
    return response
