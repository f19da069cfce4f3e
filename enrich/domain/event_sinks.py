"""Sinks of Event Streams, as far as they concern the service (docs/taskrouter.md, "Event Streams")."""

from __future__ import annotations

from dataclasses import dataclass

# A webhook to which nothing has been sent yet is initialized.
_ACTIVE = ("active", "initialized")


@dataclass(frozen=True, slots=True)
class EventSink:
    """One webhook sink. destination: its URL, without user and password, which are not signed.

    events: TaskRouter's that are subscribed to it, as callbacks name them. subscription_sid: of the first
    subscription, "" if there is none.
    """

    sid: str
    destination: str
    status: str = "active"
    method: str = "POST"
    events: frozenset[str] = frozenset()
    subscription_sid: str = ""

    @property
    def is_active(self) -> bool:
        """Return whether Twilio sends it events."""
        return self.status in _ACTIVE
