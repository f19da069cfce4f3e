"""Signing in and out. Both are open by necessity; everything else in the browser is behind `require_sign_in`."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts import sessions, users
from enrich.parts import parts

bp = Blueprint("accounts", __name__)


@bp.get("/login")
def login() -> ResponseReturnValue:
    """The sign-in form; straight on for who is signed in already."""
    if sessions.signed_in():
        return redirect(_where_to())
    return render_template("login.html", email="", next=_where_to(), is_wrong=False)


@bp.post("/login")
def sign_in() -> ResponseReturnValue:
    """Signs in and goes back to where the reader wanted to be; the form again when e-mail or password is wrong."""
    email = request.form.get("email", "")
    user = users.sign_in(parts().database, email, request.form.get("password", ""))
    parts().metrics.sign_in("signed_in" if user else "failed")
    if user is None:
        return render_template("login.html", email=email, next=_where_to(), is_wrong=True), 401
    sessions.begin(user)
    return redirect(_where_to())


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    """Signs out; fine for who is signed out already."""
    sessions.end()
    return redirect(url_for("accounts.login"))


def _where_to() -> str:
    return sessions.local_path(request.values.get("next")) or url_for("pages.tasks")
