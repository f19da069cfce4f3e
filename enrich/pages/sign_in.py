"""Signing in and out. Both are open by necessity; everything else in the browser is behind `require_sign_in`."""

from __future__ import annotations

import logging
import math

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts import attempts, passwords, users
from enrich.accounts.attempts import Attempts
from enrich.pages import devices, sessions
from enrich.pages.refusals import log_refusal
from enrich.services import current_services

log = logging.getLogger(__name__)
bp = Blueprint("accounts", __name__)


@bp.get("/login")
def login() -> ResponseReturnValue:
    """Show the sign-in form; a signed-in user is redirected."""
    if sessions.signed_in():
        return redirect(_where_to())
    return _form("")


@bp.post("/login")
def sign_in() -> ResponseReturnValue:
    """Sign in and go back to the page that was wanted; show the form again if e-mail or password is wrong.

    After some tries every further one has to wait, and gets 429 with the seconds before anything is looked at. While
    too many passwords wait to be checked, it is 503 and counts nothing.
    """
    passwords.require_room()
    services = current_services()
    database, now = services.database, services.adapters.now()
    email = users.normal_email(request.form.get("email", ""))
    device = devices.of(email)
    attempt = attempts.from_device(device) if device else attempts.from_address(request.remote_addr or "", email)
    counted = Attempts(database)
    wait_s = math.ceil(counted.admit(attempt, now))
    if wait_s:
        services.metrics.sign_in("limited")
        log_refusal("sign-in refused", "too_many_attempts")
        return _form(request.form.get("email", ""), wait_s=wait_s)
    user = users.sign_in(database, email, request.form.get("password", ""))
    services.metrics.sign_in("signed_in" if user else "failed")
    if user is None:
        log_refusal("sign-in refused", "wrong_password")
        return _form(request.form.get("email", ""), is_wrong=True)
    counted.succeeded(attempt, now)
    sessions.begin(user)
    log.info("signed in", extra={"user_id": user.id, "role": user.role, "address": request.remote_addr})
    response = make_response(redirect(_where_to()))
    devices.remember(response, user.email)
    return response


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    """Sign out; harmless if nobody is signed in."""
    user = sessions.signed_in()
    if user:
        log.info("signed out", extra={"user_id": user.id})
    sessions.end()
    return redirect(url_for("accounts.login"))


def _form(email: str, *, is_wrong: bool = False, wait_s: int = 0) -> Response:
    """Render the form, with the problem of the last attempt."""
    fragment = render_template("login.html", email=email, next=_where_to(), is_wrong=is_wrong, wait_s=wait_s)
    response = make_response(fragment, 429 if wait_s else 401 if is_wrong else 200)
    if wait_s:
        response.headers["Retry-After"] = str(wait_s)
    return response


def _where_to() -> str:
    return sessions.local_path(request.values.get("next")) or url_for("pages.tasks")
