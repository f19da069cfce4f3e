"""Waiting tasks and available workers meet as soon as they fit, whatever made them fit; the task keeps its target."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from support.workspace_driver import WorkspaceDriver


@dataclass
class Meeting:
    """A worker and a task that do not fit yet, and what changes them."""

    driver: WorkspaceDriver
    worker: Any
    task: Any

    @property
    def reserved_workers(self) -> list[str]:
        return [reservation.worker_sid for reservation in self.task.reservations.list()]


def _configure(driver: WorkspaceDriver, expression: str) -> None:
    target = {"queue": driver.queue_sid, "expression": expression}
    routing = {"task_routing": {"filters": [{"expression": "1==1", "targets": [target]}]}}
    driver.workspace.workflows(driver.workflow_sid).update(configuration=json.dumps(routing))


def _targeted(driver: WorkspaceDriver) -> Meeting:
    _configure(driver, "task.targetSid == worker.sid")
    worker_sid = driver.worker("amy")
    return Meeting(driver, driver.workspace.workers(worker_sid), driver.workspace.tasks(driver.task("{}")))


def _skilled(driver: WorkspaceDriver) -> Meeting:
    driver.workspace.task_queues(driver.queue_sid).update(target_workers="level > 3")
    worker_sid = driver.worker("amy", level=1)
    return Meeting(driver, driver.workspace.workers(worker_sid), driver.workspace.tasks(driver.task()))


def _named(driver: WorkspaceDriver) -> Meeting:
    _configure(driver, 'worker.friendly_name == "Amy Doe"')
    worker_sid = driver.worker("amy")
    return Meeting(driver, driver.workspace.workers(worker_sid), driver.workspace.tasks(driver.task()))


def _offline(driver: WorkspaceDriver) -> Meeting:
    worker_sid = driver.worker("amy", activity="Offline")
    return Meeting(driver, driver.workspace.workers(worker_sid), driver.workspace.tasks(driver.task()))


def _busy(driver: WorkspaceDriver) -> Meeting:
    worker_sid = driver.worker("amy")
    driver.task()
    return Meeting(driver, driver.workspace.workers(worker_sid), driver.workspace.tasks(driver.task()))


def _channel_off(driver: WorkspaceDriver) -> Meeting:
    worker_sid = driver.worker("amy", activity="Offline")
    worker = driver.workspace.workers(worker_sid)
    worker.worker_channels("default").update(available=False)
    worker.update(activity_sid=driver.activities["Available"])
    return Meeting(driver, worker, driver.workspace.tasks(driver.task()))


def _busy_task(meeting: Meeting) -> Any:
    """Return the task that keeps the worker busy."""
    [reservation] = meeting.worker.reservations.list()
    return meeting.driver.workspace.tasks(reservation.task_sid)


CHANGES: dict[str, tuple[Callable[[WorkspaceDriver], Meeting], Callable[[Meeting], object]]] = {
    "task attributes": (
        _targeted,
        lambda m: m.task.update(attributes=json.dumps({"targetSid": m.worker.fetch().sid})),
    ),
    "worker attributes": (_skilled, lambda m: m.worker.update(attributes='{"level": 4}')),
    "worker name": (_named, lambda m: m.worker.update(friendly_name="Amy Doe")),
    "activity": (_offline, lambda m: m.worker.update(activity_sid=m.driver.activities["Available"])),
    "capacity": (_busy, lambda m: m.worker.worker_channels("default").update(capacity=2)),
    "another task canceled": (
        _busy,
        lambda m: _busy_task(m).update(assignment_status="canceled", reason="x"),
    ),
    "another task deleted": (_busy, lambda m: _busy_task(m).delete()),
    "task channel": (_busy, lambda m: m.task.update(task_channel="chat")),
    "queue expression": (
        _skilled,
        lambda m: m.driver.workspace.task_queues(m.driver.queue_sid).update(target_workers="level > 0"),
    ),
    "channel availability": (_channel_off, lambda m: m.worker.worker_channels("default").update(available=True)),
    "new worker": (
        _skilled,
        lambda m: setattr(m, "worker", m.driver.workspace.workers(m.driver.worker("eve", level=9))),
    ),
    "workflow evaluated anew": (
        _targeted,
        lambda m: m.driver.workspace.workflows(m.driver.workflow_sid).update(
            configuration=json.dumps(
                {"task_routing": {"filters": [], "default_filter": {"queue": m.driver.queue_sid}}}
            ),
            re_evaluate_tasks="true",
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_they_meet_at_once(driver: WorkspaceDriver, change: str) -> None:
    prepare, make_fit = CHANGES[change]
    meeting = prepare(driver)
    assert meeting.reserved_workers == []
    make_fit(meeting)
    assert meeting.reserved_workers == [meeting.worker.fetch().sid]


def test_the_task_stays_in_its_target(driver: WorkspaceDriver) -> None:
    """Attributes that another filter would match do not move the task: they only let its own target match."""
    other = driver.workspace.task_queues.create(friendly_name="Other")
    filters = [
        {"expression": 'kind == "other"', "targets": [{"queue": other.sid}]},
        {
            "expression": "1==1",
            "targets": [{"queue": driver.queue_sid, "expression": "task.targetSid == worker.sid"}],
        },
    ]
    driver.workspace.workflows(driver.workflow_sid).update(
        configuration=json.dumps({"task_routing": {"filters": filters}})
    )
    worker_sid = driver.worker("amy")
    task = driver.workspace.tasks(driver.task("{}"))
    task.update(attributes='{"kind":"other"}')
    assert (task.fetch().task_queue_sid, task.reservations.list()) == (driver.queue_sid, [])
    task.update(attributes=json.dumps({"kind": "other", "targetSid": worker_sid}))
    assert [one.worker_sid for one in task.reservations.list()] == [worker_sid]
    assert task.fetch().task_queue_sid == driver.queue_sid


def test_a_higher_priority_is_served_first_when_a_worker_comes(driver: WorkspaceDriver) -> None:
    first, second = driver.task(), driver.task()
    driver.workspace.tasks(second).update(priority=5)
    driver.worker("amy")
    assert (driver.status(first), driver.status(second)) == ("pending", "reserved")
