"""Our endpoints, the URLs that TaskRouter calls, and the events that the service needs. Pure.

Source: docs/taskrouter.md, "Connection overrides" and "Events".
"""

from __future__ import annotations

from urllib.parse import urlsplit

# The paths that TaskRouter calls, below PUBLIC_URL.
PREFIX = "/taskrouter"
ASSIGNMENT = f"{PREFIX}/assignment"
FALLBACK = f"{ASSIGNMENT}/fallback"
EVENTS = f"{PREFIX}/events"
EVENT_STREAMS = f"{PREFIX}/event-streams"

NEEDED_EVENTS = frozenset(
    {
        "task.created",  # warm before asked
        "task.updated",  # has somebody overwritten the block?
        "task.canceled",
        "task.wrapup",
        "task.completed",
        "reservation.created",
        "reservation.accepted",
        "reservation.rejected",
        "reservation.timeout",
        "reservation.canceled",  # also what a set-up that fails looks like (docs/taskrouter.md, "On hold")
        "reservation.rescinded",
        "reservation.wrapup",
        "reservation.completed",
        "task.deleted",
        "task.system-deleted",
    }
)

# A lost event is sent again, unless we refused it for good. For events the official description allows overrides in
# the fragment; for assignment callbacks TaskRouter's own five seconds rule, and there is a fallback URL instead.
RETRIED = "5xx,ct,rt"


def events_url(public_url: str, retries: int) -> str:
    """Return the event callback URL. retries: how often Twilio retries a lost event, 0 to 5; 0 leaves it to Twilio."""
    return public_url + EVENTS + (f"#rc={retries}&rp={RETRIED}" if retries else "")


def without_fragment(url: str) -> str:
    """Return the URL without its fragment: the part that the server sees, and that is signed."""
    return url.partition("#")[0]


def overrides(url: str) -> dict[str, str]:
    """Return the connection overrides in the URL's fragment, unchanged."""
    pairs = (part.partition("=") for part in urlsplit(url).fragment.split("&"))
    return {name: value for name, _, value in pairs if name}
