"""Routing: the worker for each task, and the order of tasks."""

import json
from typing import Any

import pytest

from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator.model.records import TaskQueue, Worker


def reserved_worker(driver: WorkspaceDriver, task_sid: str) -> Any:
    return driver.reservation(task_sid).worker_name


def test_a_task_waits_until_a_worker_is_available(driver: WorkspaceDriver) -> None:
    task_sid = driver.task()
    worker_sid = driver.worker("dana", "Offline")
    assert driver.status(task_sid) == "pending"
    driver.workspace.workers(worker_sid).update(activity_sid=driver.activities["Available"])
    assert driver.status(task_sid) == "reserved"
    assert reserved_worker(driver, task_sid) == "dana"


def test_the_answer_to_a_creation_still_says_pending(driver: WorkspaceDriver) -> None:
    """TaskRouter assigns after it has answered; the ETag of the creation is stale once it has."""
    driver.worker()
    assert driver.workspace.tasks.create(attributes="{}").assignment_status == "pending"


def test_higher_priority_first_then_the_oldest(driver: WorkspaceDriver) -> None:
    low, high, later_high = driver.task(priority=1), driver.task(priority=9), driver.task(priority=9)
    dana = driver.workspace.workers(driver.worker("dana"))
    order = []
    for _ in range(3):
        [reservation] = dana.reservations.list(reservation_status="pending")
        order.append(reservation.task_sid)
        driver.workspace.tasks(reservation.task_sid).update(assignment_status="canceled", reason="test")
    assert order == [high, later_high, low]


def test_an_older_virtual_start_time_goes_ahead(driver: WorkspaceDriver) -> None:
    driver.task()
    since_morning = driver.task(virtual_start_time="2026-01-01T08:00:00Z")
    driver.worker()
    assert driver.status(since_morning) == "reserved"


def test_a_priority_raised_while_waiting_counts(driver: WorkspaceDriver) -> None:
    first, second = driver.task(), driver.task()
    driver.workspace.tasks(second).update(priority=5)
    driver.worker()
    assert (driver.status(first), driver.status(second)) == ("pending", "reserved")


def test_a_lifo_queue_takes_the_newest_whatever_its_priority(driver: WorkspaceDriver) -> None:
    urgent, newest = driver.task(priority=9), driver.task()
    driver.workspace.task_queues(driver.queue_sid).update(task_order="LIFO")
    driver.worker()
    assert (driver.status(urgent), driver.status(newest)) == ("pending", "reserved")


def test_the_worker_longest_without_a_task_is_next(driver: WorkspaceDriver) -> None:
    driver.worker("dana")
    driver.worker("eve")
    names = []
    for _ in range(4):
        task_sid = driver.task()
        names.append(reserved_worker(driver, task_sid))
        driver.emulator.state.advance(1)
        driver.workspace.tasks(task_sid).update(assignment_status="canceled", reason="test")
        driver.emulator.state.advance(1)
    assert names == ["dana", "eve", "dana", "eve"]


def test_the_queue_expression_decides_who_may(driver: WorkspaceDriver) -> None:
    driver.workspace.task_queues(driver.queue_sid).update(target_workers='routing.skills HAS "billing"')
    driver.worker("dana", routing={"skills": ["sales"]})
    task_sid = driver.task()
    assert driver.status(task_sid) == "pending"
    eve = driver.worker("eve")
    driver.workspace.workers(eve).update(attributes=json.dumps({"routing": {"skills": ["billing"]}}))
    assert reserved_worker(driver, task_sid) == "eve"


def test_capacity_is_per_channel_and_comes_back_on_completion(driver: WorkspaceDriver) -> None:
    dana = driver.worker("dana")
    voice, chat, chat_2 = (driver.task(task_channel=name) for name in ("voice", "chat", "chat"))
    assert [driver.status(sid) for sid in (voice, chat, chat_2)] == ["reserved", "reserved", "pending"]
    driver.workspace.tasks(chat).reservations(driver.reservation(chat).sid).update(reservation_status="accepted")
    assert driver.status(chat_2) == "pending"
    channel = driver.workspace.workers(dana).worker_channels("chat").fetch()
    assert (channel.assigned_tasks, channel.available_capacity_percentage) == (1, 0)
    driver.workspace.tasks(chat).update(assignment_status="completed", reason="done")
    assert driver.status(chat_2) == "reserved"


def test_a_raised_capacity_takes_waiting_tasks(driver: WorkspaceDriver) -> None:
    dana = driver.worker("dana")
    tasks = [driver.task(task_channel="chat") for _ in range(3)]
    driver.workspace.workers(dana).worker_channels("chat").update(capacity=3)
    assert [driver.status(sid) for sid in tasks] == ["reserved"] * 3


def test_a_closed_channel_gets_nothing(driver: WorkspaceDriver) -> None:
    dana = driver.worker("dana")
    driver.workspace.workers(dana).worker_channels("chat").update(available=False)
    assert driver.status(driver.task(task_channel="chat")) == "pending"
    assert driver.status(driver.task(task_channel="voice")) == "reserved"


def test_the_default_capacity_is_a_switch(driver: WorkspaceDriver) -> None:
    driver.emulator.switches.default_channel_capacity = 2
    driver.worker()
    assert [driver.status(driver.task()) for _ in range(3)] == ["reserved", "reserved", "pending"]


def test_without_multitasking_a_worker_has_one_task_in_all(driver: WorkspaceDriver) -> None:
    driver.workspace.update(multi_task_enabled=False)
    driver.worker()
    assert driver.status(driver.task(task_channel="voice")) == "reserved"
    assert driver.status(driver.task(task_channel="chat")) == "pending"


def test_time_out_hands_the_task_to_the_next_worker(driver: WorkspaceDriver) -> None:
    dana = driver.worker("dana")
    driver.worker("eve")
    task_sid = driver.task()
    first = driver.reservation(task_sid)
    driver.emulator.state.advance(119)
    assert driver.reservation(task_sid).reservation_status == "pending"
    driver.emulator.state.advance(1)
    rows = driver.workspace.tasks(task_sid).reservations.list()
    assert [(row.worker_name, row.reservation_status) for row in rows] == [("dana", "timeout"), ("eve", "pending")]
    assert driver.workspace.workers(dana).fetch().activity_name == "Offline"
    assert driver.kinds("reservation_created", "reservation_timeout") == [
        "reservation_created",
        "reservation_timeout",
        "reservation_created",
    ]
    [timed_out] = driver.emulator.log.entries("reservation_timeout")
    assert (timed_out["reservation_sid"], timed_out["at"]) == (first.sid, "2026-01-01T12:02:00+00:00")


def test_time_outs_on_the_way_happen_at_their_own_time(driver: WorkspaceDriver) -> None:
    """One long step of the clock is as good as many short ones."""
    driver.workspace.update(timeout_activity_sid=driver.activities["Available"])
    driver.worker()
    driver.task()
    driver.emulator.state.advance(1000)
    times = [entry["at"][11:19] for entry in driver.emulator.log.entries("reservation_timeout")]
    assert times == ["12:02:00", "12:04:00", "12:06:00", "12:08:00", "12:10:00", "12:12:00", "12:14:00", "12:16:00"]


def test_a_task_that_nobody_takes_a_thousand_times_is_canceled(driver: WorkspaceDriver) -> None:
    driver.workspace.update(timeout_activity_sid=driver.activities["Available"])
    driver.workspace.workflows(driver.workflow_sid).update(task_reservation_timeout=1)
    driver.worker()
    task_sid = driver.task()
    driver.emulator.state.advance(1001)
    task = driver.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.reason) == ("canceled", "Task TTL Exceeded or Max assignment count exceeded")


def test_a_task_waits_no_longer_than_its_timeout(driver: WorkspaceDriver) -> None:
    task_sid = driver.task(timeout=60)
    driver.emulator.state.advance(60)
    task = driver.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.reason, task.age) == ("canceled", "Task TTL Exceeded", 60)


@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("count", [2000])
def test_thousands_of_waiting_tasks_do_not_slow_a_new_one_down(
    driver: WorkspaceDriver, count: int, parallel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass costs as much as there are groups, not tasks: counted in evaluations, not seconds."""
    driver.workspace.task_queues(driver.queue_sid).update(max_reserved_workers=parallel)
    driver.worker()
    workspace = driver.emulator.state.workspaces[driver.workspace.fetch().sid]
    with driver.emulator.state.transaction():
        for _ in range(count):
            driver.emulator.state.tasks.create_task(workspace)
    evaluated: list[Worker] = []

    def admits(queue: TaskQueue, worker: Worker) -> bool:
        evaluated.append(worker)
        return original(queue, worker)

    original = TaskQueue.admits
    monkeypatch.setattr(TaskQueue, "admits", admits)
    driver.task()
    assert len(evaluated) <= 1
    assert len(workspace.tasks) == count + 1
