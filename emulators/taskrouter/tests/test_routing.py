"""Which worker gets which task, and when."""

import json

import pytest


def reserved_worker(desk, task_sid):
    return desk.reservation(task_sid).worker_name


def test_a_task_waits_until_a_worker_is_available(desk):
    task_sid = desk.task()
    worker_sid = desk.worker("dana", "Offline")
    assert desk.status(task_sid) == "pending"
    desk.workspace.workers(worker_sid).update(activity_sid=desk.activities["Available"])
    assert desk.status(task_sid) == "reserved"
    assert reserved_worker(desk, task_sid) == "dana"


def test_the_answer_to_a_creation_still_says_pending(desk):
    """TaskRouter assigns after it has answered; the ETag of the creation is stale once it has."""
    desk.worker()
    assert desk.workspace.tasks.create(attributes="{}").assignment_status == "pending"


def test_higher_priority_first_then_the_oldest(desk):
    low, high, later_high = desk.task(priority=1), desk.task(priority=9), desk.task(priority=9)
    dana = desk.workspace.workers(desk.worker("dana"))
    order = []
    for _ in range(3):
        [reservation] = dana.reservations.list(reservation_status="pending")
        order.append(reservation.task_sid)
        desk.workspace.tasks(reservation.task_sid).update(assignment_status="canceled", reason="test")
    assert order == [high, later_high, low]


def test_an_older_virtual_start_time_goes_ahead(desk):
    desk.task()
    since_morning = desk.task(virtual_start_time="2026-01-01T08:00:00Z")
    desk.worker()
    assert desk.status(since_morning) == "reserved"


def test_a_priority_raised_while_waiting_counts(desk):
    first, second = desk.task(), desk.task()
    desk.workspace.tasks(second).update(priority=5)
    desk.worker()
    assert (desk.status(first), desk.status(second)) == ("pending", "reserved")


def test_a_lifo_queue_takes_the_newest_whatever_its_priority(desk):
    urgent, newest = desk.task(priority=9), desk.task()
    desk.workspace.task_queues(desk.queue_sid).update(task_order="LIFO")
    desk.worker()
    assert (desk.status(urgent), desk.status(newest)) == ("pending", "reserved")


def test_the_worker_longest_without_a_task_is_next(desk):
    desk.worker("dana")
    desk.worker("eve")
    names = []
    for _ in range(4):
        task_sid = desk.task()
        names.append(reserved_worker(desk, task_sid))
        desk.emulator.state.advance(1)
        desk.workspace.tasks(task_sid).update(assignment_status="canceled", reason="test")
        desk.emulator.state.advance(1)
    assert names == ["dana", "eve", "dana", "eve"]


def test_the_queue_expression_decides_who_may(desk):
    desk.workspace.task_queues(desk.queue_sid).update(target_workers='routing.skills HAS "billing"')
    desk.worker("dana", routing={"skills": ["sales"]})
    task_sid = desk.task()
    assert desk.status(task_sid) == "pending"
    eve = desk.worker("eve")
    desk.workspace.workers(eve).update(attributes=json.dumps({"routing": {"skills": ["billing"]}}))
    assert reserved_worker(desk, task_sid) == "eve"


def test_capacity_is_per_channel_and_comes_back_on_completion(desk):
    dana = desk.worker("dana")
    voice, chat, chat_2 = (desk.task(task_channel=name) for name in ("voice", "chat", "chat"))
    assert [desk.status(sid) for sid in (voice, chat, chat_2)] == ["reserved", "reserved", "pending"]
    desk.workspace.tasks(chat).reservations(desk.reservation(chat).sid).update(reservation_status="accepted")
    assert desk.status(chat_2) == "pending"
    channel = desk.workspace.workers(dana).worker_channels("chat").fetch()
    assert (channel.assigned_tasks, channel.available_capacity_percentage) == (1, 0)
    desk.workspace.tasks(chat).update(assignment_status="completed", reason="done")
    assert desk.status(chat_2) == "reserved"


def test_a_raised_capacity_takes_waiting_tasks(desk):
    dana = desk.worker("dana")
    tasks = [desk.task(task_channel="chat") for _ in range(3)]
    desk.workspace.workers(dana).worker_channels("chat").update(capacity=3)
    assert [desk.status(sid) for sid in tasks] == ["reserved"] * 3


def test_a_closed_channel_gets_nothing(desk):
    dana = desk.worker("dana")
    desk.workspace.workers(dana).worker_channels("chat").update(available=False)
    assert desk.status(desk.task(task_channel="chat")) == "pending"
    assert desk.status(desk.task(task_channel="voice")) == "reserved"


def test_the_default_capacity_is_a_switch(desk):
    desk.emulator.switches.default_channel_capacity = 2
    desk.worker()
    assert [desk.status(desk.task()) for _ in range(3)] == ["reserved", "reserved", "pending"]


def test_without_multitasking_a_worker_has_one_task_in_all(desk):
    desk.workspace.update(multi_task_enabled=False)
    desk.worker()
    assert desk.status(desk.task(task_channel="voice")) == "reserved"
    assert desk.status(desk.task(task_channel="chat")) == "pending"


def test_time_out_hands_the_task_to_the_next_worker(desk):
    dana = desk.worker("dana")
    desk.worker("eve")
    task_sid = desk.task()
    first = desk.reservation(task_sid)
    desk.emulator.state.advance(119)
    assert desk.reservation(task_sid).reservation_status == "pending"
    desk.emulator.state.advance(1)
    rows = desk.workspace.tasks(task_sid).reservations.list()
    assert [(row.worker_name, row.reservation_status) for row in rows] == [("dana", "timeout"), ("eve", "pending")]
    assert desk.workspace.workers(dana).fetch().activity_name == "Offline"
    assert desk.kinds("reservation_created", "reservation_timeout") == [
        "reservation_created",
        "reservation_timeout",
        "reservation_created",
    ]
    [timed_out] = desk.emulator.log.entries("reservation_timeout")
    assert (timed_out["reservation_sid"], timed_out["at"]) == (first.sid, "2026-01-01T12:02:00+00:00")


def test_time_outs_on_the_way_happen_at_their_own_time(desk):
    """One long step of the clock is as good as many short ones."""
    desk.workspace.update(timeout_activity_sid=desk.activities["Available"])
    desk.worker()
    desk.task()
    desk.emulator.state.advance(1000)
    times = [entry["at"][11:19] for entry in desk.emulator.log.entries("reservation_timeout")]
    assert times == ["12:02:00", "12:04:00", "12:06:00", "12:08:00", "12:10:00", "12:12:00", "12:14:00", "12:16:00"]


def test_a_task_that_nobody_takes_a_thousand_times_is_canceled(desk):
    desk.workspace.update(timeout_activity_sid=desk.activities["Available"])
    desk.workspace.workflows(desk.workflow_sid).update(task_reservation_timeout=1)
    desk.worker()
    task_sid = desk.task()
    desk.emulator.state.advance(1001)
    task = desk.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.reason) == ("canceled", "Task TTL Exceeded or Max assignment count exceeded")


def test_a_task_waits_no_longer_than_its_timeout(desk):
    task_sid = desk.task(timeout=60)
    desk.emulator.state.advance(60)
    task = desk.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.reason, task.age) == ("canceled", "Task TTL Exceeded", 60)


@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("count", [2000])
def test_thousands_of_waiting_tasks_do_not_slow_a_new_one_down(desk, count, parallel):
    """A pass costs as much as there are lines, not as there are tasks: no statement about seconds, about steps."""
    desk.workspace.task_queues(desk.queue_sid).update(max_reserved_workers=parallel)
    desk.worker()
    workspace = desk.emulator.state.workspaces[desk.workspace.fetch().sid]
    queue = workspace.task_queues[desk.queue_sid]
    with desk.emulator.state.transaction():
        for _ in range(count):
            desk.emulator.state.tasks.create_task(workspace)
    asked = []
    admits = type(queue).admits
    try:
        type(queue).admits = lambda self, worker: asked.append(worker) or admits(self, worker)
        desk.task()
    finally:
        type(queue).admits = admits
    assert len(asked) <= 1
    assert len(workspace.tasks) == count + 1
