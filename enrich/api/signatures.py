"""Signed requests, after Standard Webhooks: an HMAC over id, time and body, with a secret that both sides have.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (read in November 2026). The
sender of a new secret signs with both for a while. What is signed is not the address, so the body has to say itself
whose records it has.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from enrich import errors

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
# Of a secret, as the specification has them.
MIN_BYTES, MAX_BYTES = 24, 64


def secret_problem(secret: str) -> str:
    """Return what is wrong with this secret; "" if nothing is. Does not quote it."""
    if not secret:
        return "is not set"
    if not secret.startswith(PREFIX):
        return f"must begin with {PREFIX}, and nothing before it"
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return f"must be base64 behind {PREFIX}"
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        return f"must have {MIN_BYTES} to {MAX_BYTES} bytes, and has {len(key)}"
    return ""


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raise InvalidSignature unless this body was signed with the secret, within five minutes of this machine's time.

    secret: without a problem. headers: of the request; their names in any case.
    """
    try:
        Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()}, json_parse=False)
    except WebhookVerificationError as exc:
        raise errors.InvalidSignature(str(exc)) from None
    except ValueError:  # of the library: a list of signatures of another form, or a body that is not UTF-8
        raise errors.InvalidSignature("not of the form of Standard Webhooks") from None
