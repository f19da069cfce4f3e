"""State changes of tasks and reservations over REST, with the messages of those that are refused."""

import re
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from support.workspace_driver import WorkspaceDriver

MOVES = {
    "canceled": r"^Cannot cancel {where} because it is not pending or reserved\.$",
    "wrapping": r"^Cannot wrap up {where} because it's not currently assigned$",
    "completed": r"^Cannot complete {where} because it is not currently assigned\.$",
}


def update_task(driver: WorkspaceDriver, task_sid: str, status: Any, reason: Any = "because") -> Any:
    return driver.workspace.tasks(task_sid).update(assignment_status=status, reason=reason)


def update_reservation(driver: WorkspaceDriver, task_sid: str, status: Any, **more: Any) -> Any:
    sid = driver.reservation(task_sid).sid
    return driver.workspace.tasks(task_sid).reservations(sid).update(reservation_status=status, **more)


@pytest.fixture
def task_in(driver: WorkspaceDriver) -> Any:
    """Create a task in the given state."""

    def make(status: Any) -> Any:
        if status != "pending":
            driver.worker()
        task_sid = driver.task()
        if status in ("assigned", "wrapping", "completed"):
            update_reservation(driver, task_sid, "accepted")
        if status in ("wrapping", "completed", "canceled"):
            update_task(driver, task_sid, status)
        assert driver.status(task_sid) == status
        return task_sid

    return make


LEGAL = {
    "canceled": {"pending", "reserved"},
    "wrapping": {"assigned"},
    "completed": {"assigned", "wrapping"},
}
STATES = ("pending", "reserved", "assigned", "wrapping", "completed", "canceled")


@pytest.mark.parametrize("wanted", LEGAL)
@pytest.mark.parametrize("state", STATES)
def test_a_task_moves_only_where_it_may(driver: WorkspaceDriver, task_in: Any, state: str, wanted: Any) -> None:
    task_sid = task_in(state)
    if state in LEGAL[wanted]:
        moved = update_task(driver, task_sid, wanted, "the reason")
        assert (moved.assignment_status, moved.reason) == (wanted, "the reason")
        return
    with pytest.raises(TwilioRestException) as refused:
        update_task(driver, task_sid, wanted)
    where = f"task {task_sid} in workspace {driver.workspace.fetch().sid} for account {driver.emulator.account_sid}"
    said = refused.value.msg.removeprefix("Unable to update record: ")
    assert (refused.value.status, refused.value.code) == (400, 20001)
    assert re.match(MOVES[wanted].format(where=re.escape(where)), said), said
    assert driver.status(task_sid) == state


@pytest.mark.parametrize("status", ["pending", "reserved", "assigned", "done"])
def test_no_client_sets_the_other_states(driver: WorkspaceDriver, task_in: Any, status: Any) -> None:
    with pytest.raises(TwilioRestException) as refused:
        update_task(driver, task_in("pending"), status)
    assert (refused.value.status, refused.value.code) == (400, 20001)


@pytest.mark.parametrize("status", ["wrapping", "completed"])
def test_attributes_and_the_end_of_work_take_two_requests(driver: WorkspaceDriver, task_in: Any, status: Any) -> None:
    task_sid = task_in("assigned")
    with pytest.raises(TwilioRestException) as refused:
        driver.workspace.tasks(task_sid).update(assignment_status=status, attributes='{"late":1}')
    assert refused.value.code == 20001
    assert driver.workspace.tasks(task_sid).fetch().attributes == '{"from":"+14155550100"}'


def test_accepting_assigns_the_task(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("reserved")
    reservation = update_reservation(driver, task_sid, "accepted")
    assert (reservation.reservation_status, reservation.worker_name) == ("accepted", "dana")
    assert driver.status(task_sid) == "assigned"
    assert driver.emulator.log.entries("reservation_accepted")[0]["via"] == "rest"


def test_rejecting_puts_the_task_back_and_moves_the_worker(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("reserved")
    update_reservation(driver, task_sid, "rejected", worker_activity_sid=driver.activities["Unavailable"])
    assert driver.status(task_sid) == "pending"
    [dana] = driver.workspace.workers.list()
    assert dana.activity_name == "Unavailable"


def test_rejecting_without_an_activity_tries_somebody_else_first(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("reserved")
    driver.worker("eve")
    driver.emulator.state.advance(1)
    update_reservation(driver, task_sid, "rejected")
    assert driver.reservation(task_sid).worker_name == "eve"


ILLEGAL = [
    ("pending", "wrapping"),
    ("pending", "completed"),
    ("accepted", "accepted"),
    ("accepted", "rejected"),
    ("wrapping", "accepted"),
    ("completed", "completed"),
    ("timeout", "accepted"),
    ("canceled", "accepted"),
    ("pending", "timeout"),
    ("pending", "rescinded"),
    ("pending", "canceled"),
]


@pytest.mark.parametrize(("state", "wanted"), ILLEGAL)
def test_a_reservation_moves_only_where_it_may(driver: WorkspaceDriver, task_in: Any, state: str, wanted: Any) -> None:
    task_sid = task_in("reserved")
    sid = driver.reservation(task_sid).sid
    reservation = driver.workspace.tasks(task_sid).reservations(sid)
    if state == "timeout":
        driver.emulator.state.advance(120)
    elif state == "canceled":
        update_task(driver, task_sid, "canceled")
    elif state != "pending":
        for step in ("accepted", "wrapping", "completed"):
            reservation.update(reservation_status=step)
            if step == state:
                break
    with pytest.raises(TwilioRestException) as refused:
        reservation.update(reservation_status=wanted)
    assert (refused.value.status, refused.value.code) == (400, 20001)
    assert reservation.fetch().reservation_status == state


def test_canceling_a_task_cancels_its_reservation(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("reserved")
    update_task(driver, task_sid, "canceled", "hangup")
    assert driver.reservation(task_sid).reservation_status == "canceled"
    assert driver.kinds("reservation_canceled", "task_canceled") == ["reservation_canceled", "task_canceled"]


def test_completing_the_only_reservation_completes_the_task(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("assigned")
    update_reservation(driver, task_sid, "wrapping")
    assert driver.status(task_sid) == "wrapping"
    update_reservation(driver, task_sid, "completed")
    task = driver.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.reason) == ("completed", "All reservations were completed")


def test_completing_a_task_completes_its_reservation(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("assigned")
    update_task(driver, task_sid, "completed")
    assert driver.reservation(task_sid).reservation_status == "completed"


def test_a_finished_task_is_gone_after_five_minutes(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("completed")
    driver.emulator.state.advance(299)
    assert driver.status(task_sid) == "completed"
    driver.emulator.state.advance(1)
    with pytest.raises(TwilioRestException) as refused:
        driver.status(task_sid)
    assert (refused.value.status, refused.value.code) == (404, 20404)


def test_an_assigned_task_is_removed_after_a_day(driver: WorkspaceDriver, task_in: Any) -> None:
    task_in("assigned")
    driver.emulator.state.advance(86_400)
    assert driver.workspace.tasks.list() == []
    assert driver.kinds("reservation_completed", "task_deleted") == ["reservation_completed", "task_deleted"]


@pytest.mark.parametrize(("state", "ends"), [("reserved", "canceled"), ("assigned", "completed")])
def test_deleting_a_task_ends_its_reservation_and_frees_the_worker(
    driver: WorkspaceDriver, task_in: Any, state: str, ends: Any
) -> None:
    task_sid = task_in(state)
    assert driver.workspace.tasks(task_sid).delete()
    assert driver.kinds(f"reservation_{ends}", "task_deleted") == [f"reservation_{ends}", "task_deleted"]
    assert driver.status(driver.task()) == "reserved"


def test_tasks_are_filtered_and_ordered(driver: WorkspaceDriver) -> None:
    tasks = {name: driver.task(f'{{"name":"{name}"}}', priority=p) for name, p in (("a", 2), ("b", 1), ("c", 3))}
    update_task(driver, tasks["c"], "canceled")
    listed = driver.workspace.tasks.list
    assert {task.sid for task in listed(assignment_status=["pending", "reserved"])} == {tasks["a"], tasks["b"]}
    assert [task.sid for task in listed(assignment_status=["pending,canceled"])] == list(tasks.values())
    assert [task.priority for task in listed(ordering="Priority:desc")] == [3, 2, 1]
    assert [task.sid for task in listed(priority=1)] == [tasks["b"]]
    assert [task.sid for task in listed(evaluate_task_attributes='name == "a"')] == [tasks["a"]]
    assert len(listed(workflow_sid=driver.workflow_sid, task_queue_name="Everybody")) == 3
    assert listed(workflow_name="Other") == []


def test_lists_may_leave_the_attributes_out(driver: WorkspaceDriver) -> None:
    driver.emulator.switches.lists_without_attributes = True
    task_sid = driver.task('{"a":1}')
    assert [task.attributes for task in driver.workspace.tasks.list()] == [None]
    assert driver.workspace.tasks(task_sid).fetch().attributes == '{"a":1}'


def test_a_reservation_is_seen_under_task_and_worker(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("reserved")
    under_task = driver.reservation(task_sid)
    [under_worker] = driver.workspace.workers(under_task.worker_sid).reservations.list()
    assert (under_worker.sid, under_worker.task_sid) == (under_task.sid, task_sid)
    assert f"/Tasks/{task_sid}/Reservations/" in under_task.url
    assert f"/Workers/{under_task.worker_sid}/Reservations/" in under_worker.url
    under = driver.workspace.workers(under_task.worker_sid).reservations(under_task.sid)
    assert under.update(reservation_status="accepted").reservation_status == "accepted"


def test_an_unavailable_worker_can_reject_what_is_pending(driver: WorkspaceDriver, task_in: Any) -> None:
    task_sid = task_in("reserved")
    [dana] = driver.workspace.workers.list()
    worker = driver.workspace.workers(dana.sid)
    worker.update(activity_sid=driver.activities["Unavailable"])
    assert driver.status(task_sid) == "reserved"
    worker.update(activity_sid=driver.activities["Available"])
    worker.update(activity_sid=driver.activities["Unavailable"], reject_pending_reservations=True)
    assert driver.status(task_sid) == "pending"


@pytest.mark.parametrize(
    "parameters",
    [
        {"priority": -1},
        {"priority": 2**31},
        {"timeout": 0},
        {"timeout": 1_209_601},
        {"virtual_start_time": "2026-01-01T12:00:01Z"},
        {"virtual_start_time": "1899-12-31T00:00:00Z"},
        {"virtual_start_time": "noon"},
        {"task_channel": "fax"},
        {"workflow_sid": "WW1"},
        {"routing_target": "WK" + "0" * 32},
    ],
)
def test_a_task_with_impossible_parameters_is_refused(driver: WorkspaceDriver, parameters: Any) -> None:
    with pytest.raises(TwilioRestException) as refused:
        driver.task(**parameters)
    assert (refused.value.status, refused.value.code) == (400, 20001)
    assert driver.workspace.tasks.list() == []
