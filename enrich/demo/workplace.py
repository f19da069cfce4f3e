"""A small contact centre at the emulator, set up from its file and staffed through Twilio's official SDK."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from enrich import errors
from enrich.demo.arrivals import OUR_NUMBER
from enrich.provisioning import apply, file
from enrich.provisioning.workspace import Workspaces
from enrich.taskrouter.sdk import connect, translated

# A task is taken up so long after it was seen first, at most, and then completed.
MAX_TALK_S = 9.0
SETUP = Path(__file__).parent / "workplace.toml"


@dataclass
class Workplace:
    """One workspace with a queue, a workflow that asks our service, and three workers who deal with what they get."""

    base_url: str
    account_sid: str
    auth_token: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _due: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._client = connect(self.base_url, self.account_sid, self.account_sid, self.auth_token)

    def set_up(self, public_url: str) -> None:
        """Create the workspace of `workplace.toml`, with its URLs pointing at the service."""
        desired = file.read(SETUP.read_text(encoding="utf-8"), public_url)
        credentials = (self.account_sid, self.account_sid, self.auth_token)
        workspaces = Workspaces(self.base_url, *credentials, event_streams_url=self.base_url)
        apply.provision(desired, workspaces, apply.plan(desired, workspaces), lambda _step, _sid: None)
        self._workspace = self._client.taskrouter.v1.workspaces(workspaces.sid)

    def receive(self, channel: str, attributes: Mapping[str, Any]) -> None:
        """A task arrives."""
        text = json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))
        # A failing spell hits us as well; the next one arrives soon.
        with suppress(errors.TaskRouterError), translated(self._client, "creating a task"):
            self._workspace.tasks.create(attributes=text, task_channel=channel)

    def deal_with_tasks(self) -> None:
        """Workers take up deferred calls, talk for a while, and complete."""
        now, tasks = self.now(), []
        with suppress(errors.TaskRouterError), translated(self._client, "listing tasks"):
            tasks = self._workspace.tasks.list(assignment_status=["reserved", "assigned"])
        for task in tasks:
            due = self._due.setdefault(task.sid, now + timedelta(seconds=random.uniform(2, MAX_TALK_S)))  # noqa: S311 - a demo's dice
            if now < due:
                continue
            # One that cannot be dealt with leaves the others alone.
            with suppress(errors.TaskRouterError), translated(self._client, "dealing with a task"):
                if task.assignment_status == "reserved":
                    self._take_up(task)
                elif task.assignment_status == "assigned":
                    self._workspace.tasks(task.sid).update(assignment_status="completed", reason="done")

    def has_trouble(self, fault: Mapping[str, Any]) -> None:
        """Set a fault in the emulator."""
        requests.post(f"{self.base_url}/_emulator/faults", json=fault, timeout=5).raise_for_status()

    def recovers(self) -> None:
        requests.delete(f"{self.base_url}/_emulator/faults", timeout=5).raise_for_status()

    def _take_up(self, task: Any) -> None:
        """Accept a deferred reservation as an agent does in Flex: connect the caller, or call, then accept."""
        reservations = self._workspace.tasks(task.sid).reservations
        for reservation in reservations.list(reservation_status="pending"):
            if "call_sid" in json.loads(task.attributes):
                reservations(reservation.sid).update(instruction="dequeue", dequeue_from=OUR_NUMBER)
            else:  # an outbound call, which the conference places
                reservations(reservation.sid).update(instruction="conference", from_=OUR_NUMBER)
