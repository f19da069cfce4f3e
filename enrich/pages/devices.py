"""The browsers that have signed in to an account before: counted by themselves, so that nobody is locked out by others.

A signed cookie holds a word by chance and a hash of the e-mail; the database knows nothing of it. It proves that this
account's password was right here once, and opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer

COOKIE = "enrich_device"
LASTS_S = 180 * 86400


def of(email: str) -> str | None:
    """The word of this browser, if somebody has signed in to this account with it; else None."""
    try:
        word, account = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=LASTS_S)
    except (BadData, ValueError, TypeError):
        return None
    return str(word) if account == _mark(email) else None


def remember(response: Response, email: str) -> None:
    """Gives the browser its cookie for this account."""
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
