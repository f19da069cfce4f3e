"""Secrets that can be guessed: the rule for those that an installation chooses itself, which are not Twilio's."""

from __future__ import annotations

# A secret has at least so many characters, and half as many different ones.
MIN_LENGTH = 16
WELL_KNOWN = ("secret", "changeme", "dev", "test", "password", "key")
HOW_TO_CHOOSE = "python -c 'import secrets; print(secrets.token_hex(32))'"


def weakness(secret: str) -> str:
    """Return why this secret can be guessed; "" if it cannot, or is not set. It is not part of the text."""
    if not secret:
        return ""
    if len(secret) < MIN_LENGTH:
        return f"has only {len(secret)} characters"
    if len(set(secret)) < MIN_LENGTH // 2:
        return f"has only {len(set(secret))} different characters"
    return "is a well-known word" if secret.lower().strip("!0123456789") in WELL_KNOWN else ""
