"""Several workers reserved side by side for one task, and the old activities of workspaces without multitasking."""

import json

import pytest
from twilio.base.exceptions import TwilioRestException

VOICE = json.dumps({"call_sid": "CA" + "1" * 32, "from": "+14155550100", "to": "+14155550199"})


@pytest.fixture
def three(desk):
    """Three workers, a queue that reserves up to three for a task, and the pending reservations of one task."""
    desk.workspace.task_queues(desk.queue_sid).update(max_reserved_workers=3)
    for name in ("dana", "eve", "finn"):
        desk.worker(name)

    def reservations(task_sid):
        listed = desk.workspace.tasks(task_sid).reservations.list()
        return {one.worker_name: desk.workspace.tasks(task_sid).reservations(one.sid) for one in listed}

    return reservations


def states(desk, task_sid):
    return {row.worker_name: row.reservation_status for row in desk.workspace.tasks(task_sid).reservations.list()}


def test_the_first_who_accepts_rescinds_the_others(desk, three):
    task_sid = desk.task()
    assert states(desk, task_sid) == {"dana": "pending", "eve": "pending", "finn": "pending"}
    three(task_sid)["eve"].update(reservation_status="accepted")
    assert states(desk, task_sid) == {"dana": "rescinded", "eve": "accepted", "finn": "rescinded"}
    with pytest.raises(TwilioRestException) as refused:
        three(task_sid)["dana"].update(reservation_status="accepted")
    assert (refused.value.status, refused.value.code) == (410, 20410)
    assert len(desk.workspace.events.list(event_type="reservation.rescinded")) == 2


def test_each_reservation_has_its_own_callback(desk, three, receiver):
    desk.callbacks(receiver.answer("/assign", {}))
    task_sid = desk.task()
    desk.set_reservation_status()
    assert {one.form["WorkerSid"] for one in receiver.on("/assign")} == {
        row.worker_sid for row in desk.workspace.tasks(task_sid).reservations.list()
    }


def test_a_worker_who_comes_later_is_reserved_too_until_the_limit(desk, three):
    task_sid = desk.task()
    desk.worker("gus")
    assert "gus" not in states(desk, task_sid)
    three(task_sid)["dana"].update(reservation_status="rejected", worker_activity_sid=desk.activities["Unavailable"])
    assert states(desk, task_sid) == {"dana": "rejected", "eve": "pending", "finn": "pending", "gus": "pending"}
    assert desk.status(task_sid) == "reserved"


def test_the_task_is_pending_again_when_the_last_has_rejected(desk, three):
    task_sid = desk.task()
    for reservation in three(task_sid).values():
        assert desk.status(task_sid) == "reserved"
        reservation.update(reservation_status="rejected", worker_activity_sid=desk.activities["Offline"])
    assert desk.status(task_sid) == "pending"


def test_only_the_first_who_is_dialled_rings(desk, three):
    task_sid = desk.task(VOICE)
    three(task_sid)["finn"].update(instruction="dequeue", dequeue_from="+14155550199")
    assert states(desk, task_sid) == {"dana": "rescinded", "eve": "rescinded", "finn": "pending"}
    desk.set_reservation_status()
    assert (states(desk, task_sid)["finn"], desk.status(task_sid)) == ("accepted", "assigned")


def test_nobody_is_reserved_twice_for_one_task(desk):
    desk.workspace.task_queues(desk.queue_sid).update(max_reserved_workers=5)
    dana = desk.worker("dana")
    desk.workspace.workers(dana).worker_channels("default").update(capacity=5)
    first, second = desk.task(), desk.task()
    assert [states(desk, sid) for sid in (first, second)] == [{"dana": "pending"}] * 2


def test_a_raised_limit_reserves_more_for_those_who_wait(desk):
    desk.worker("dana")
    desk.worker("eve")
    task_sid = desk.task()
    assert len(states(desk, task_sid)) == 1
    desk.workspace.task_queues(desk.queue_sid).update(max_reserved_workers=2)
    assert len(states(desk, task_sid)) == 2


def test_the_task_follows_its_reservation_a_moment_later_by_switch(desk):
    """The race that real clients run into: accepted, and yet completing is refused because the task is not assigned."""
    desk.emulator.switches.assigned_after_s = 1
    desk.worker()
    task_sid = desk.task()
    reservation = desk.workspace.tasks(task_sid).reservations(desk.reservation(task_sid).sid)
    assert reservation.update(reservation_status="accepted").reservation_status == "accepted"
    assert desk.status(task_sid) == "reserved"
    for early in (
        lambda: reservation.update(reservation_status="completed"),
        lambda: desk.workspace.tasks(task_sid).update(assignment_status="completed", reason="done"),
    ):
        with pytest.raises(TwilioRestException) as refused:
            early()
        assert (refused.value.status, refused.value.code) == (400, 20001)
    desk.emulator.state.advance(1)
    assert desk.status(task_sid) == "assigned"
    desk.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")


def test_without_multitasking_the_queue_moves_its_workers_and_rejecting_moves_them_back(desk):
    desk.workspace.update(multi_task_enabled=False)
    busy, reserved = (desk.workspace.activities.create(friendly_name=name).sid for name in ("Busy", "Reserved"))
    desk.workspace.task_queues(desk.queue_sid).update(reservation_activity_sid=reserved, assignment_activity_sid=busy)
    worker = desk.workspace.workers(desk.worker())
    task_sid = desk.task()
    assert worker.fetch().activity_name == "Reserved"
    reservation = desk.workspace.tasks(task_sid).reservations(desk.reservation(task_sid).sid)
    reservation.update(reservation_status="accepted")
    assert worker.fetch().activity_name == "Busy"
    desk.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")
    assert worker.fetch().activity_name == "Busy", "the application moves the worker itself"
    worker.update(activity_sid=desk.activities["Available"])
    rejected = desk.task()
    desk.workspace.tasks(rejected).reservations(desk.reservation(rejected).sid).update(reservation_status="rejected")
    assert {row.reservation_status for row in desk.workspace.tasks(rejected).reservations.list()} == {
        "rejected",
        "pending",
    }
    desk.workspace.tasks(rejected).update(assignment_status="canceled", reason="test")
    assert worker.fetch().activity_name == "Available"
