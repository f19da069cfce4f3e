"""The token that opens the card of one task: an HMAC of the task's SID. Pure.

It does not expire; `pages/card.py` decides how long a card can be opened.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

# 144 bits cannot be guessed, and take 24 of the characters that all writers of a task share.
LENGTH = 18


def key_of(secret_key: str) -> bytes:
    """Return the key for tokens, derived so that a token reveals nothing about the key that signs sessions."""
    return hmac.digest(secret_key.encode(), b"enrich.card.1", hashlib.sha256)


def token_of(key: bytes, task_sid: str) -> str:
    """Return the token of this task's card: 24 characters of the URL-safe alphabet."""
    digest = hmac.digest(key, task_sid.encode("utf-8", "replace"), hashlib.sha256)
    return urlsafe_b64encode(digest[:LENGTH]).decode()


def is_valid(key: bytes, task_sid: str, token: str) -> bool:
    """Return whether the token belongs to this task."""
    return hmac.compare_digest(token_of(key, task_sid).encode(), token.encode("utf-8", "replace"))
