"""Past events over REST, with the official SDK, since nobody waits for them.

Source: docs/taskrouter.md, "Events". The SDK is large; only who asks imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from enrich.domain.deliveries import PastEvent
from enrich.taskrouter.event_forms import callback_form
from enrich.taskrouter.sdk import connect, translated


class History:
    """The past events of one account's workspaces."""

    def __init__(self, base_url: str, account_sid: str, user: str, password: str) -> None:
        self._client = connect(base_url, account_sid, user, password)

    def events(self, workspace_sid: str, since: datetime, until: datetime) -> Iterator[PastEvent]:
        """Yield the events of that period, in TaskRouter's order. Raises TaskRouterError."""
        with translated("reading events"):
            events = self._client.taskrouter.v1.workspaces(workspace_sid).events
            for event in events.stream(start_date=since, end_date=until, page_size=1000):
                form = callback_form(event.event_type, event.sid, event.event_data or {}, event.event_date)
                yield PastEvent(event.event_date, form)
