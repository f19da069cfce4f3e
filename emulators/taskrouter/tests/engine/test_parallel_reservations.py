"""Several workers reserved at once for one task, and the queue's activities in workspaces without multitasking."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver

VOICE = json.dumps({"call_sid": "CA" + "1" * 32, "from": "+14155550100", "to": "+14155550199"})


@pytest.fixture
def three(driver: WorkspaceDriver) -> Any:
    """Three workers, a queue that reserves up to three for a task, and the pending reservations of one task."""
    driver.workspace.task_queues(driver.queue_sid).update(max_reserved_workers=3)
    for name in ("dana", "eve", "finn"):
        driver.worker(name)

    def reservations(task_sid: str) -> Any:
        listed = driver.workspace.tasks(task_sid).reservations.list()
        return {one.worker_name: driver.workspace.tasks(task_sid).reservations(one.sid) for one in listed}

    return reservations


def states(driver: WorkspaceDriver, task_sid: str) -> Any:
    return {row.worker_name: row.reservation_status for row in driver.workspace.tasks(task_sid).reservations.list()}


def test_the_first_who_accepts_rescinds_the_others(driver: WorkspaceDriver, three: Any) -> None:
    task_sid = driver.task()
    assert states(driver, task_sid) == {"dana": "pending", "eve": "pending", "finn": "pending"}
    three(task_sid)["eve"].update(reservation_status="accepted")
    assert states(driver, task_sid) == {"dana": "rescinded", "eve": "accepted", "finn": "rescinded"}
    with pytest.raises(TwilioRestException) as refused:
        three(task_sid)["dana"].update(reservation_status="accepted")
    assert (refused.value.status, refused.value.code) == (410, 20410)
    assert len(driver.workspace.events.list(event_type="reservation.rescinded")) == 2


def test_each_reservation_has_its_own_callback(driver: WorkspaceDriver, three: Any, receiver: Receiver) -> None:
    driver.callbacks(receiver.answer("/assign", {}))
    task_sid = driver.task()
    driver.settle()
    assert {one.form["WorkerSid"] for one in receiver.on("/assign")} == {
        row.worker_sid for row in driver.workspace.tasks(task_sid).reservations.list()
    }


def test_a_worker_who_comes_later_is_reserved_too_until_the_limit(driver: WorkspaceDriver, three: Any) -> None:
    task_sid = driver.task()
    driver.worker("gus")
    assert "gus" not in states(driver, task_sid)
    three(task_sid)["dana"].update(reservation_status="rejected", worker_activity_sid=driver.activities["Unavailable"])
    assert states(driver, task_sid) == {"dana": "rejected", "eve": "pending", "finn": "pending", "gus": "pending"}
    assert driver.status(task_sid) == "reserved"


def test_the_task_is_pending_again_when_the_last_has_rejected(driver: WorkspaceDriver, three: Any) -> None:
    task_sid = driver.task()
    for reservation in three(task_sid).values():
        assert driver.status(task_sid) == "reserved"
        reservation.update(reservation_status="rejected", worker_activity_sid=driver.activities["Offline"])
    assert driver.status(task_sid) == "pending"


def test_only_the_first_who_is_dialled_rings(driver: WorkspaceDriver, three: Any) -> None:
    task_sid = driver.task(VOICE)
    three(task_sid)["finn"].update(instruction="dequeue", dequeue_from="+14155550199")
    assert states(driver, task_sid) == {"dana": "rescinded", "eve": "rescinded", "finn": "pending"}
    driver.settle()
    assert (states(driver, task_sid)["finn"], driver.status(task_sid)) == ("accepted", "assigned")


def test_nobody_is_reserved_twice_for_one_task(driver: WorkspaceDriver) -> None:
    driver.workspace.task_queues(driver.queue_sid).update(max_reserved_workers=5)
    dana = driver.worker("dana")
    driver.workspace.workers(dana).worker_channels("default").update(capacity=5)
    first, second = driver.task(), driver.task()
    assert [states(driver, sid) for sid in (first, second)] == [{"dana": "pending"}] * 2


def test_a_raised_limit_reserves_more_for_those_who_wait(driver: WorkspaceDriver) -> None:
    driver.worker("dana")
    driver.worker("eve")
    task_sid = driver.task()
    assert len(states(driver, task_sid)) == 1
    driver.workspace.task_queues(driver.queue_sid).update(max_reserved_workers=2)
    assert len(states(driver, task_sid)) == 2


def test_the_task_follows_its_reservation_a_moment_later_by_switch(driver: WorkspaceDriver) -> None:
    """The race that real clients run into: accepted, and yet completing is refused because the task is not assigned."""
    driver.emulator.switches.assigned_after_s = 1
    driver.worker()
    task_sid = driver.task()
    reservation = driver.workspace.tasks(task_sid).reservations(driver.reservation(task_sid).sid)
    assert reservation.update(reservation_status="accepted").reservation_status == "accepted"
    assert driver.status(task_sid) == "reserved"
    updates: tuple[Callable[[], Any], ...] = (
        lambda: reservation.update(reservation_status="completed"),
        lambda: driver.workspace.tasks(task_sid).update(assignment_status="completed", reason="done"),
    )
    for update in updates:
        with pytest.raises(TwilioRestException) as refused:
            update()
        assert (refused.value.status, refused.value.code) == (400, 20001)
    driver.emulator.state.advance(1)
    assert driver.status(task_sid) == "assigned"
    driver.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")


def test_without_multitasking_the_queue_moves_its_workers_and_rejecting_moves_them_back(
    driver: WorkspaceDriver,
) -> None:
    driver.workspace.update(multi_task_enabled=False)
    busy, reserved = (driver.workspace.activities.create(friendly_name=name).sid for name in ("Busy", "Reserved"))
    driver.workspace.task_queues(driver.queue_sid).update(
        reservation_activity_sid=reserved, assignment_activity_sid=busy
    )
    worker = driver.workspace.workers(driver.worker())
    task_sid = driver.task()
    assert worker.fetch().activity_name == "Reserved"
    reservation = driver.workspace.tasks(task_sid).reservations(driver.reservation(task_sid).sid)
    reservation.update(reservation_status="accepted")
    assert worker.fetch().activity_name == "Busy"
    driver.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")
    assert worker.fetch().activity_name == "Busy", "the application moves the worker itself"
    worker.update(activity_sid=driver.activities["Available"])
    rejected = driver.task()
    driver.workspace.tasks(rejected).reservations(driver.reservation(rejected).sid).update(
        reservation_status="rejected"
    )
    assert {row.reservation_status for row in driver.workspace.tasks(rejected).reservations.list()} == {
        "rejected",
        "pending",
    }
    driver.workspace.tasks(rejected).update(assignment_status="canceled", reason="test")
    assert worker.fetch().activity_name == "Available"
