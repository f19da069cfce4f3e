"""The browser's session, and the guards that pages name under their blueprint.

Flask's signed cookie holds a random token; the session itself is a row (`accounts/sessions.py`), which ends with
signing out, whatever copies of the cookie there are. It is in use when the reader does anything, which the polls of a
page that lies open are not, unless its script says that somebody moves or types there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import CSRFProtect

from enrich import errors
from enrich.accounts.sessions import LASTS, Sessions, StaffSession
from enrich.accounts.tables import Role
from enrich.accounts.users import User
from enrich.domain.lengths import MAX_SIGN_IN_BYTES
from enrich.pages.browsers import browser_family
from enrich.services import current_services

# Set by `static/enrich.js` on the next poll after the reader moved, scrolled or typed.
ACTIVE_HEADER = "X-Reader-Active"

csrf = CSRFProtect()

P = ParamSpec("P")


def set_up(app: Flask) -> None:
    """Sessions and CSRF protection for this app. Needs no SECRET_KEY before the first request."""
    is_https = app.extensions["enrich"].settings.public_url.startswith("https:")
    app.config.update(
        PERMANENT_SESSION_LIFETIME=LASTS,
        SESSION_REFRESH_EACH_REQUEST=False,
        SESSION_COOKIE_NAME=cookie_name("enrich_session", is_https=is_https),
        # As the name demands. A path prefix in PUBLIC_URL would keep nothing out: a browser that sends cookies by path
        # lets every page of the host read every other one.
        SESSION_COOKIE_PATH="/",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=is_https,
        # The token lives as long as the session: a page that was open all day must still be able to sign out.
        WTF_CSRF_TIME_LIMIT=None,
    )
    # Before Flask-WTF, which takes the referrer apart and does not expect that it cannot be, and reads the whole form
    # to look for its token.
    app.before_request(_refuse_unreadable)
    app.before_request(_limit_strangers)
    csrf.init_app(app)


def cookie_name(name: str, *, is_https: bool) -> str:
    """Return the cookie's name; over https with `__Host-`, by which no other host and no http page can set it.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes
    """
    return f"__Host-{name}" if is_https else name


def begin(user: User) -> None:
    """Sign this user in, with nothing left of the session before. Raises DatabaseError."""
    end()
    services = current_services()
    session.permanent = True
    browser = browser_family(request.user_agent.string)
    g.staff_session, session["token"] = Sessions(services.database).begin(user, browser, services.adapters.now())


def end() -> None:
    """Sign the user out, harmless if nobody is signed in. Raises DatabaseError."""
    present = current_session()
    if present:
        Sessions(current_services().database).end(present.user.id, present.id)
    session.clear()
    g.staff_session = None


def current_session() -> StaffSession | None:
    """Return the session of the signed-in user, read once a request; None if nobody is signed in.

    Raises DatabaseError.
    """
    if "staff_session" not in g:
        services, token = current_services(), session.get("token")
        g.staff_session = Sessions(services.database).find(token, services.adapters.now()) if token else None
    present: StaffSession | None = g.staff_session
    return present


def signed_in() -> User | None:
    """Return the signed-in user; None if nobody is signed in. Raises DatabaseError."""
    present = current_session()
    return present.user if present else None


def require_sign_in() -> ResponseReturnValue | None:
    """Let a signed-in user pass; send everybody else to the sign-in form, and back afterwards.

    A user whose password an admin has set is sent to choose their own, which is the only page they get.
    """
    present = current_session()
    if present is None:
        if request.headers.get("HX-Request"):
            back = _local_part(request.headers.get("HX-Current-URL", ""))
        else:
            back = request.script_root + (request.full_path.rstrip("?") if request.method == "GET" else "/")
        return _sent_to(url_for("accounts.login", next=back))
    if present.user.password_by_admin and request.blueprint != "password":
        return _sent_to(url_for("password.form"))
    _note_activity(present)
    return None


def _sent_to(address: str) -> ResponseReturnValue:
    """Redirect to this page.

    A request of htmx gets 401 and is told to load the page as a whole: following a redirect, it would put the page
    where a fragment belongs.
    """
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address)


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


def _note_activity(present: StaffSession) -> None:
    """A poll says which version it shows (`shown`); whatever else is asked for, somebody asked for."""
    if "HX-Request" in request.headers and "shown" in request.args and ACTIVE_HEADER not in request.headers:
        return
    services = current_services()
    # A database that cannot be written to can still be read.
    with suppress(errors.DatabaseError):
        Sessions(services.database).note_use(present, services.adapters.now())
