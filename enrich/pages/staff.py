"""Staff accounts, for admins: `flask users` as a page. Nobody can remove their own access."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts import passwords, users
from enrich.accounts.sessions import Sessions
from enrich.accounts.tables import Role
from enrich.accounts.users import User
from enrich.database.engine import Database
from enrich.pages import notices
from enrich.pages.notices import Done, Notice
from enrich.pages.sessions import needs, require_sign_in, signed_in
from enrich.services import current_services

log = logging.getLogger(__name__)
bp = Blueprint("staff", __name__, url_prefix="/staff")
bp.before_request(require_sign_in)

Change = Callable[[Database, User], Done]


@bp.get("")
@needs(Role.ADMIN)
def index() -> ResponseReturnValue:
    """List the accounts, with a form for a new one."""
    return _page(current_services().database, {}, {})


@bp.post("")
@needs(Role.ADMIN)
def add() -> ResponseReturnValue:
    """Create the account; or show the form again, with the problem beside each field."""
    database = current_services().database
    values = {name: request.form.get(name, "") for name in ("email", "name", "role")}
    password = request.form.get("password", "")
    problems = {
        "email": users.email_problem(values["email"]),
        "name": users.name_problem(values["name"]),
        "role": "" if values["role"] in list(Role) else "Choose a role.",
        "password": passwords.problem(password, (values["email"], values["name"])),
    }
    problems = {name: problem for name, problem in problems.items() if problem}
    if not problems:
        role = Role(values["role"])
        user = users.add(
            database, email=values["email"], role=role, password=password, name=values["name"], by_admin=True
        )
        if user:
            _note("account added", user, role=user.role)
            return _done(Done.ACCOUNT_ADDED, user)
        problems["email"] = "This e-mail address already has an account."
    return _page(database, values, problems), 422


def _changes(path: str) -> Callable[[Change], Callable[[int], ResponseReturnValue]]:
    """A view that changes the account of somebody else, and tells what `change` returns of it."""

    def register(change: Change) -> Callable[[int], ResponseReturnValue]:
        @bp.post(f"/<int:user_id>/{path}", endpoint=path)
        @needs(Role.ADMIN)
        @wraps(change)
        def view(user_id: int) -> ResponseReturnValue:
            database = current_services().database
            user = users.find_by_id(database, user_id) or abort(404)
            reader = signed_in()
            if reader and reader.id == user.id:
                return _done(Done.OWN_ACCOUNT, user)
            return _done(change(database, user), user)

        return view

    return register


@_changes("role")
def set_role(database: Database, user: User) -> Done:
    """Change the role, from the next request on."""
    role = request.form.get("role", "")
    if role not in list(Role):
        abort(400)
    changed = users.set_role(database, user.email, Role(role)) or abort(404)
    _note("role changed", user, before=user.stored_role, after=changed.role)
    return Done.ROLE_CHANGED


@_changes("disable")
def disable(database: Database, user: User) -> Done:
    """Disable the account and end its sessions."""
    users.set_active(database, user.email, active=False)
    _note("account disabled", user)
    return Done.ACCOUNT_DISABLED


@_changes("enable")
def enable(database: Database, user: User) -> Done:
    """Enable the account again, with its password."""
    users.set_active(database, user.email, active=True)
    _note("account enabled", user)
    return Done.ACCOUNT_ENABLED


@_changes("sign-out")
def sign_out(database: Database, user: User) -> Done:
    """End the account's sessions; its owner may sign in again."""
    Sessions(database).end_all(user.id)
    _note("sessions ended", user)
    return Done.ACCOUNT_SIGNED_OUT


@bp.post("/<int:user_id>/password")
@needs(Role.ADMIN)
def set_password(user_id: int) -> ResponseReturnValue:
    """Set a colleague's new password, and end the account's sessions. One's own needs the present one."""
    database = current_services().database
    user = users.find_by_id(database, user_id) or abort(404)
    reader = signed_in()
    if reader and reader.id == user.id:
        return redirect(url_for("password.form"))
    password = request.form.get("password", "")
    problem = passwords.problem(password, (user.email, user.name))
    if problem:
        return _page(database, {}, {}, of=user.id, password_problem=problem), 422
    users.set_password(database, user.email, password, by_admin=True)
    _note("password set", user)
    return _done(Done.PASSWORD_SET, user)


def _note(event: str, user: User, **more: str) -> None:
    reader = signed_in()
    log.info(event, extra={"user_id": user.id, "by_user_id": reader.id if reader else None, **more})


def _done(done: Done, user: User) -> ResponseReturnValue:
    notices.flash(Notice(done, user_id=user.id))
    return redirect(url_for("staff.index"))


def _page(
    database: Database, values: dict[str, str], problems: dict[str, str], *, of: int = 0, password_problem: str = ""
) -> str:
    """values, problems: of the form for a new account. of, password_problem: of somebody's new password."""
    return render_template(
        "staff/index.html",
        everyone=users.list_all(database),
        roles=list(Role),
        values={"email": "", "name": "", "role": Role.VIEWER, **values},
        problems=problems,
        of=of,
        password_problem=password_problem,
        shortest=passwords.MIN_LENGTH,
    )
