"""Deletion of the set-up: nothing that is in use can be deleted.

Twilio documents DELETE for all of these, but rarely when it refuses. The rules here are strict, so that what can be
deleted here can be deleted there: resources in use stay, with 400/20001 and a message that names the use.
"""

from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.model import events
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.records import (
    Activity,
    Task,
    TaskChannel,
    TaskQueue,
    TaskStatus,
    Worker,
    Workflow,
    Workspace,
)

_OVER = (TaskStatus.COMPLETED, TaskStatus.CANCELED)


class Removal:
    """Deletes the set-up. Every method is one transaction; each raises ApiError 400/20001 for a resource in use."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete_workspace(self, workspace: Workspace) -> None:
        """Delete the workspace with everything in it, in any state."""
        with self._store.transaction():
            self._store.emit(workspace, "workspace.deleted")
            del self._store.workspaces[workspace.sid]
            workspace.event_callback_url = None
            for records in (workspace.tasks, workspace.workers, workspace.workflows, workspace.task_queues):
                records.clear()

    def delete_activity(self, workspace: Workspace, activity: Activity) -> None:
        with self._store.transaction():
            if any(worker.activity is activity for worker in workspace.workers.values()):
                raise _in_use("activity", activity.sid, "a worker is in it")
            if activity in (workspace.default_activity, workspace.timeout_activity):
                raise _in_use("activity", activity.sid, "it is the workspace's default or time-out activity")
            for queue in workspace.task_queues.values():
                if activity in (queue.reservation_activity, queue.assignment_activity):
                    raise _in_use("activity", activity.sid, f"the task queue {queue.sid} names it")
            del workspace.activities[activity.sid]
            self._store.emit(workspace, "activity.deleted", about=events.activity_block(activity))

    def delete_task_channel(self, workspace: Workspace, channel: TaskChannel) -> None:
        with self._store.transaction():
            if channel.unique_name == "default":
                raise _in_use("task channel", channel.sid, "tasks without a channel use it")
            if any(task.task_channel is channel for task in _live_tasks(workspace)):
                raise _in_use("task channel", channel.sid, "there are tasks on it")
            del workspace.task_channels[channel.sid]
            for worker in workspace.workers.values():
                worker.channels.pop(channel.sid, None)
            self._store.emit(workspace, "task-channel.deleted", about=events.task_channel_block(channel))

    def delete_task_queue(self, workspace: Workspace, queue: TaskQueue) -> None:
        with self._store.transaction():
            for workflow in workspace.workflows.values():
                if queue.sid in workflow.plan.queue_sids:
                    raise _in_use("task queue", queue.sid, f"the workflow {workflow.sid} names it")
            if any(task.task_queue is queue for task in _live_tasks(workspace)):
                raise _in_use("task queue", queue.sid, "there are tasks in it")
            del workspace.task_queues[queue.sid]
            self._store.emit(workspace, "task-queue.deleted", about=events.task_queue_block(queue))

    def delete_workflow(self, workspace: Workspace, workflow: Workflow) -> None:
        with self._store.transaction():
            if any(task.workflow is workflow for task in _live_tasks(workspace)):
                raise _in_use("workflow", workflow.sid, "there are tasks in it")
            del workspace.workflows[workflow.sid]
            self._store.emit(workspace, "workflow.deleted", about=events.workflow_block(workflow))

    def delete_worker(self, workspace: Workspace, worker: Worker, *, if_match: str | None = None) -> None:
        """Delete a worker; also raises ApiError 412/20412 for a stale `If-Match`."""
        with self._store.transaction():
            self._store.check_version(worker, if_match)
            if worker.open_reservations:
                raise _in_use("worker", worker.sid, "the worker has reservations")
            if worker.activity.available:
                raise _in_use("worker", worker.sid, "the worker is available; set an unavailable activity first")
            for task in _live_tasks(workspace):
                if task.target_worker is worker:
                    raise _in_use("worker", worker.sid, f"the task {task.sid} waits for this worker")
            del workspace.workers[worker.sid]
            self._store.emit(workspace, "worker.deleted", worker=worker)
            self._store.changed(workspace)


def _live_tasks(workspace: Workspace) -> list[Task]:
    return [task for task in workspace.tasks.values() if task.status not in _OVER]


def _in_use(kind: str, sid: str, reason: str) -> Exception:
    return invalid(f"Cannot delete {kind} {sid} because {reason}")
