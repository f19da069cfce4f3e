"""The key to the card of one task: a word that only we can make from the task's SID, and always make the same.

It says nothing about when the card may be opened; that is decided where it is shown (`pages/card.py`). Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

# 144 bits: nobody tries them out, and they take 24 of the characters that all writers of a task share.
LENGTH = 18


def key_of(secret_key: str) -> bytes:
    """The key that tokens are made with. Derived, so that a token tells nothing about what signs the sessions."""
    return hmac.digest(secret_key.encode(), b"enrich.card.1", hashlib.sha256)


def token_of(key: bytes, task_sid: str) -> str:
    """The token of this task's card: 24 characters of the URL-safe alphabet."""
    digest = hmac.digest(key, task_sid.encode("utf-8", "replace"), hashlib.sha256)
    return urlsafe_b64encode(digest[:LENGTH]).decode()


def opens(key: bytes, task_sid: str, token: str) -> bool:
    """Whether this token is that of this task."""
    return hmac.compare_digest(token_of(key, task_sid).encode(), token.encode("utf-8", "replace"))
