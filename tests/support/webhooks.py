"""Requests that are signed after Standard Webhooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from standardwebhooks.webhooks import Webhook

# Of the specification's published vector.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def signed(
    body: bytes, *, secret: str = SECRET, message_id: str = MESSAGE_ID, ago: timedelta = timedelta()
) -> dict[str, str]:
    """Return the headers of this body, signed so long ago."""
    at = datetime.now(UTC) - ago
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": Webhook(secret).sign(message_id, at, body.decode()),
    }
