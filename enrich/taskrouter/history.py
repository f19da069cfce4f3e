"""Past events over REST, with the official SDK, since nobody waits for them.

Source: docs/taskrouter.md, "Events". The SDK is large; only who asks imports it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from enrich.domain.deliveries import PastEvent
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
                yield PastEvent(event.event_date, _form(event, event.event_data or {}))


def _form(event: Any, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the event with the names of a callback, `TaskSid` for `task_sid` (docs/taskrouter.md, "Events")."""
    form = {"EventType": event.event_type, "Sid": event.sid}
    for name, value in data.items():
        if value is not None:
            written = value if isinstance(value, str) else json.dumps(value)
            form["".join(part.capitalize() for part in name.split("_"))] = written
    form.setdefault("TimestampMs", str(int(event.event_date.timestamp() * 1000)))
    return form
