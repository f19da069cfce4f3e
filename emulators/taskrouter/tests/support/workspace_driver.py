"""A workspace at the emulator, driven through Twilio's SDK."""

import json
from dataclasses import dataclass
from typing import Any

from taskrouter_emulator import EmulatorServer


@dataclass
class WorkspaceDriver:
    """A workspace with one queue for every worker and one workflow; creates workers and tasks through the SDK."""

    workspace: Any
    activities: dict[str, str]
    queue_sid: str
    workflow_sid: str
    emulator: EmulatorServer

    def worker(self, name: str = "dana", activity: str = "Available", **attributes: object) -> str:
        attributes = {"contact_uri": f"client:{name}", **attributes}
        worker = self.workspace.workers.create(
            friendly_name=name, activity_sid=self.activities[activity], attributes=json.dumps(attributes)
        )
        return str(worker.sid)

    def task(self, attributes: str = '{"from":"+14155550100"}', **parameters: object) -> str:
        return str(self.workspace.tasks.create(attributes=attributes, **parameters).sid)

    def status(self, task_sid: str) -> str:
        return str(self.workspace.tasks(task_sid).fetch().assignment_status)

    def reservation(self, task_sid: str) -> Any:
        """Return the newest reservation of the task."""
        return self.workspace.tasks(task_sid).reservations.list()[-1]

    def callbacks(self, url: str, fallback: str | None = None, **parameters: object) -> None:
        more = {"fallback_assignment_callback_url": fallback} if fallback else {}
        self.workspace.workflows(self.workflow_sid).update(assignment_callback_url=url, **more, **parameters)

    def settle(self) -> None:
        """Wait until every callback has ended, and every dialled worker has answered."""
        self.emulator.deliveries.wait_until_idle()
        self.emulator.state.advance(1)
        self.emulator.deliveries.wait_until_idle()

    def kinds(self, *wanted: str) -> list[str]:
        return [str(entry["kind"]) for entry in self.emulator.log.entries() if entry["kind"] in wanted]

    def alerts(self) -> list[object]:
        return [entry["code"] or entry["alert"] for entry in self.emulator.log.entries("alert")]
