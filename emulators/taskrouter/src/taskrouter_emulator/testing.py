"""A running emulator with one workspace, for tests: what the pytest fixture `taskrouter_emulator` returns."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from taskrouter_emulator.callbacks.delivery import Deliveries
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import TaskStatus, Workspace
from taskrouter_emulator.model.switches import Switches
from taskrouter_emulator.server import EmulatorServer
from taskrouter_emulator.transport.faults import Faults


@dataclass(frozen=True)
class EmulatedWorkspace:
    """A running emulator and its workspace: one task queue that every worker is in, and one workflow that uses it.

    server: the emulator; everything that HTTP can control is an attribute of it, too.
    """

    server: EmulatorServer
    workspace_sid: str
    task_queue_sid: str
    workflow_sid: str

    @classmethod
    @contextmanager
    def start(cls, **options: Any) -> "Iterator[Self]":
        """Start an emulator with these arguments of `EmulatorServer`, and stop it at the end of the block."""
        with EmulatorServer(**options) as server:
            provisioning = server.state.provisioning
            with server.state.transaction():
                workspace = provisioning.create_workspace("Test")
                queue = provisioning.create_task_queue(workspace, "Everybody")
                routing = {"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}
                workflow = provisioning.create_workflow(workspace, "Test", json.dumps(routing))
            yield cls(server, workspace.sid, queue.sid, workflow.sid)

    @property
    def base_url(self) -> str:
        """The address for `client.taskrouter.base_url`, without a slash at the end."""
        return self.server.base_url

    @property
    def account_sid(self) -> str:
        return self.server.account_sid

    @property
    def auth_token(self) -> str:
        """The token for basic auth over REST, and the key of the callbacks' signatures."""
        return self.server.auth_token

    @property
    def faults(self) -> Faults:
        """The faults in force; `faults.status(503, times=2)` adds one."""
        return self.server.faults

    @property
    def switches(self) -> Switches:
        return self.server.switches

    @property
    def log(self) -> Log:
        """Everything that happened; `log.wait_for("reservation_accepted")` waits for an entry."""
        return self.server.log

    @property
    def deliveries(self) -> Deliveries:
        """The callbacks that were sent, with their responses."""
        return self.server.deliveries

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and do all that falls due on the way, each at its own time."""
        self.server.state.advance(seconds)

    def set_callback_url(self, url: str, fallback_url: str | None = None) -> None:
        """Set the workflow's assignment callback URL and its fallback; "" removes a URL, None leaves the fallback."""
        workspace = self._workspace
        self.server.state.provisioning.update_workflow(
            workspace,
            workspace.workflows[self.workflow_sid],
            assignment_callback_url=url,
            fallback_assignment_callback_url=fallback_url,
        )

    def set_event_callback_url(self, url: str) -> None:
        """Set the workspace's event callback URL; "" removes it."""
        self.server.state.provisioning.update_workspace(self._workspace, event_callback_url=url)

    def create_worker(self, name: str = "alice", *, available: bool = True, **attributes: object) -> str:
        """Create a worker who can be dialled, and return the SID. attributes: added to the worker's attributes."""
        workspace = self._workspace
        activity = next(entry for entry in workspace.activities.values() if entry.available is available)
        text = json.dumps({"contact_uri": f"client:{name}", **attributes})
        return self.server.state.provisioning.create_worker(workspace, name, attributes=text, activity=activity).sid

    def create_task(self, channel: str = "default", **attributes: object) -> str:
        """Create a task with these attributes, and return its SID. channel: the task channel's unique name."""
        workspace = self._workspace
        task_channel = next(
            candidate for candidate in workspace.task_channels.values() if candidate.unique_name == channel
        )
        tasks = self.server.state.tasks
        return tasks.create_task(workspace, attributes=json.dumps(attributes), task_channel=task_channel).sid

    def task_attributes(self, task_sid: str) -> str:
        """Return the task's attributes, to the letter."""
        return self._workspace.tasks[task_sid].attributes

    def task_status(self, task_sid: str) -> TaskStatus:
        """Return the task's assignment status; it compares equal to the text, as in `== "assigned"`."""
        return self._workspace.tasks[task_sid].status

    @property
    def _workspace(self) -> Workspace:
        return self.server.state.workspaces[self.workspace_sid]
