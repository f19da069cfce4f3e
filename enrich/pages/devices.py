"""Cookies of browsers that have signed in before: their attempts count apart, so that others cannot lock them out.

The signed cookie holds a random id and a hash of the e-mail; the database does not store it. It proves that this
browser once sent the account's right password, and grants no access.
"""

from __future__ import annotations

import hashlib
import secrets

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer

COOKIE = "enrich_device"
LASTS_S = 180 * 86400


def of(email: str) -> str | None:
    """Return the id of this browser if it has signed in to this account before, else None."""
    try:
        word, account = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=LASTS_S)
    except (BadData, ValueError, TypeError):
        return None
    return str(word) if account == _mark(email) else None


def remember(response: Response, email: str) -> None:
    """Set the browser's cookie for this account."""
    response.set_cookie(
        COOKIE,
        _serializer().dumps([of(email) or secrets.token_urlsafe(12), _mark(email)]),
        max_age=LASTS_S,
        path=current_app.config["APPLICATION_ROOT"],
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="enrich.device")


def _mark(email: str) -> str:
    return hashlib.sha256(email.encode("utf-8", "replace")).hexdigest()[:16]
