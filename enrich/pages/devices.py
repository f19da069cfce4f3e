"""Cookies of browsers that have signed in before: their attempts count apart, so that others cannot lock them out.

The signed cookie holds a random id and a keyed hash of the e-mail; the database does not store it. It proves that this
browser once sent the account's right password, and grants no access.
"""

from __future__ import annotations

import hmac
import secrets

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer

from enrich.pages.sessions import cookie_name

COOKIE = "enrich_device"
LASTS_S = 180 * 86400


def of(email: str) -> str | None:
    """Return the id of this browser if it has signed in to this account before, else None."""
    try:
        word, account = _serializer().loads(request.cookies.get(_name(), ""), max_age=LASTS_S)
    except (BadData, ValueError, TypeError):
        return None
    return str(word) if account == _mark(email) else None


def remember(response: Response, email: str) -> None:
    """Set the browser's cookie for this account."""
    response.set_cookie(
        _name(),
        _serializer().dumps([of(email) or secrets.token_urlsafe(12), _mark(email)]),
        max_age=LASTS_S,
        path=current_app.config["SESSION_COOKIE_PATH"],
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )


def _name() -> str:
    return cookie_name(COOKIE, is_https=current_app.config["SESSION_COOKIE_SECURE"])


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="enrich.device")


def _mark(email: str) -> str:
    # A plain hash could be found by trying addresses.
    key = str(current_app.secret_key).encode()
    return hmac.new(key, email.encode("utf-8", "replace"), "sha256").hexdigest()[:16]
