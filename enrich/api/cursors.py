"""Cursors: the place where the next page begins, as a text that says nothing to its holder. Pure.

A cursor is the key of the last row that was read, not a number of rows, so rows that arrive or go meanwhile move
nothing. It belongs to one query: with another filter it is refused, and so is one that was cut or changed. It grants
nothing that the token does not, so it is checked by a digest and not signed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=int | str)

DIGEST_BYTES = 8
# The longest key, an id of a customer, in UTF-8 and base64.
MAX_CURSOR_LENGTH = 1000

# What a query asks for, besides the place: its operation and its filters, in a fixed order.
Query = Sequence[str | None]


class BadCursor(ValueError):
    """A text that is no cursor of this query."""


def cursor_of(query: Query, key: int | str) -> str:
    """Return the cursor after the row with this key."""
    place = json.dumps(key, ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_digest(query, place) + place).decode().rstrip("=")


def key_of(query: Query, cursor: str, kind: type[Key]) -> Key:
    """Return the key in this cursor, of this type. Raises BadCursor."""
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        digest, place = decoded[:DIGEST_BYTES], decoded[DIGEST_BYTES:]
        if digest != _digest(query, place):
            raise BadCursor
        key = json.loads(place)
    except ValueError:
        raise BadCursor from None
    if type(key) is not kind or cursor_of(query, key) != cursor:
        raise BadCursor
    return key


def _digest(query: Query, place: bytes) -> bytes:
    return hashlib.blake2b(json.dumps(list(query)).encode() + place, digest_size=DIGEST_BYTES).digest()
