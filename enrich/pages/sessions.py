"""Sessions of signed-in staff, and the guards that pages name under their blueprint.

The session is Flask's signed cookie. It ends twelve hours after signing in; two hours after the reader did anything,
which the polls of a page that lies open are not, unless its script says that somebody moves or types there; when the
password changes; and when the account is disabled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec
from urllib.parse import urlsplit

from flask import Flask, Response, abort, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user, login_user, logout_user
from flask_wtf import CSRFProtect

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.accounts.users import User
from enrich.domain.lengths import MAX_SIGN_IN_BYTES
from enrich.services import current_services

SESSION_LASTS = timedelta(hours=12)
IDLE_FOR = timedelta(hours=2)
# The cookie is written anew at most so often.
NOTED_EVERY = timedelta(minutes=1)
# Set by `static/enrich.js` on the next poll after the reader moved, scrolled or typed.
ACTIVE_HEADER = "X-Reader-Active"

csrf = CSRFProtect()

P = ParamSpec("P")


class SignedIn:
    """A user as Flask-Login knows one: the id that the cookie carries holds the password's mark too."""

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def __init__(self, user: User) -> None:
        self.user = user

    def get_id(self) -> str:
        return f"{self.user.id}.{self.user.password_mark}"


def set_up(app: Flask) -> None:
    """Sessions and CSRF protection for this app. Needs no SECRET_KEY before the first request."""
    app.config.update(
        PERMANENT_SESSION_LIFETIME=SESSION_LASTS,
        SESSION_REFRESH_EACH_REQUEST=False,
        SESSION_COOKIE_NAME="enrich_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=app.extensions["enrich"].settings.public_url.startswith("https:"),
        # The token lives as long as the session: a page that was open all day must still be able to sign out.
        WTF_CSRF_TIME_LIMIT=None,
    )
    # "basic", not "strong": strong ends the session of everyone whose address changes, and takes that address from a
    # header anyone can set. Basic only notes that the session moved, for views that ask for a fresh one.
    manager = LoginManager()
    manager.session_protection = "basic"
    manager.user_loader(_load)
    # Templates are given their user by the view. The context processor would ask the database again on the very page
    # that says that the database does not answer.
    manager.init_app(app, add_context_processor=False)
    # Before Flask-WTF, which takes the referrer apart and does not expect that it cannot be, and reads the whole form
    # to look for its token.
    app.before_request(_refuse_unreadable)
    app.before_request(_limit_strangers)
    csrf.init_app(app)


def begin(user: User) -> None:
    """Sign this user in, with nothing left of the session before."""
    session.clear()
    session.permanent = True
    session["signed_in_at"] = session["seen_at"] = int(time.time())
    login_user(SignedIn(user))


def end() -> None:
    """Sign the user out."""
    logout_user()
    session.clear()


def signed_in() -> User | None:
    """Return the signed-in user; None if nobody is signed in. Raises DatabaseError."""
    return current_user.user if current_user.is_authenticated else None


def require_sign_in() -> ResponseReturnValue | None:
    """Let a signed-in user pass; send everybody else to the sign-in form, and back afterwards.

    A request of htmx gets 401 and is told to load the sign-in page as a whole: following a redirect, it would put the
    form where a fragment belongs.
    """
    if signed_in():
        _note_activity()
        return None
    if request.headers.get("HX-Request"):
        back = _local_part(request.headers.get("HX-Current-URL", ""))
        return Response(status=401, headers={"HX-Redirect": url_for("accounts.login", next=back)})
    back = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(url_for("accounts.login", next=request.script_root + back))


def needs(role: Role) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, ResponseReturnValue]]:
    """A view's guard beside `require_sign_in`: 403 for a reader who may do less than this role."""

    def guarded(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
        @wraps(view)
        def only_for_role(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            if not may(role):
                abort(403)
            return view(*args, **kwargs)

        return only_for_role

    return guarded


def may(role: Role) -> bool:
    """Return whether the signed-in user has this role; False if nobody is signed in. Raises DatabaseError."""
    user = signed_in()
    return user is not None and user.role.includes(role)


def sees_masked() -> bool:
    """Return whether the signed-in user sees personal data masked only. Raises DatabaseError."""
    user = signed_in()
    return user is not None and not user.role.includes(Role.EDITOR)


def local_path(target: str | None) -> str | None:
    r"""Return the target if it is a path on this site, else None, so that signing in leads nowhere else.

    Browsers read `//host` as another host, take `\` for `/`, and skip tabs and line ends wherever they stand.
    """
    if not target or not target.startswith("/") or target.startswith("//"):
        return None
    if "\\" in target or any(character < " " or character == "\x7f" for character in target):
        return None
    return target


def _local_part(url: str) -> str | None:
    """Path and query of this URL, None where it has none that one may be sent to."""
    try:
        shown = urlsplit(url)
    except ValueError:  # "http://["
        return None
    return local_path(f"{shown.path}?{shown.query}" if shown.query else shown.path)


def _refuse_unreadable() -> None:
    """Refuse requests that no browser sends: a query that is no UTF-8, or a form from a malformed address.

    For every endpoint of the application, so that a new page cannot be forgotten.
    """
    try:
        _ = request.args
        _ = urlsplit(request.referrer or "").port if request.method == "POST" else None
    except ValueError:  # UnicodeDecodeError among them
        abort(400)


def _limit_strangers() -> None:
    """Accept no more from somebody who has not signed in than signing in needs."""
    if request.method not in ("GET", "HEAD") and not signed_in():
        request.max_content_length = MAX_SIGN_IN_BYTES


def _note_activity() -> None:
    """A poll says which version it shows (`shown`); whatever else is asked for, somebody asked for."""
    is_poll = "HX-Request" in request.headers and "shown" in request.args and ACTIVE_HEADER not in request.headers
    if not is_poll and time.time() - session.get("seen_at", 0) > NOTED_EVERY.total_seconds():
        session["seen_at"] = int(time.time())


def _load(session_id: str) -> SignedIn | None:
    """Return the user of this session; None if it has ended or is no longer valid for them."""
    began, seen = session.get("signed_in_at"), session.get("seen_at")
    if not isinstance(began, int) or time.time() - began > SESSION_LASTS.total_seconds():
        return None
    if not isinstance(seen, int) or time.time() - seen > IDLE_FOR.total_seconds():
        return None
    user_id, _, password_mark = session_id.partition(".")
    user = users.find_by_id(current_services().database, int(user_id)) if user_id.isdecimal() else None
    if user is None or not user.active or user.password_mark != password_mark:
        return None
    return SignedIn(user)
