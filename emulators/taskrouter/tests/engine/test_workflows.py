"""Workflows: filters, targets, time-outs, skips, known workers, order, re-evaluation."""

import json
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from support.workspace_driver import WorkspaceDriver


@pytest.fixture
def centre(driver: WorkspaceDriver) -> Any:
    """A workspace with one queue per skill; `configure` takes configurations that name queues by skill."""

    class Centre:
        def __init__(self) -> None:
            create = driver.workspace.task_queues.create
            skills = ("sales", "support", "billing")
            self.queues = {
                skill: create(friendly_name=skill, target_workers=f'skills HAS "{skill}"').sid for skill in skills
            }

        def configure(self, *filters: Any, default: Any = None, **parameters: Any) -> None:
            for one in (*(target for each in filters for target in each["targets"]), *([default] if default else [])):
                if one.get("queue") in self.queues:
                    one["queue"] = self.queues[one["queue"]]
            routing = {"filters": list(filters)} | ({"default_filter": default} if default else {})
            text = json.dumps({"task_routing": routing})
            driver.workspace.workflows(driver.workflow_sid).update(configuration=text, **parameters)

        def where(self, task_sid: str) -> Any:
            task = driver.workspace.tasks(task_sid).fetch()
            return task.task_queue_friendly_name if task.assignment_status != "canceled" else task.reason

    return Centre()


def one_filter(*targets: Any, expression: str = "1==1", name: str = "all") -> Any:
    return {"filter_friendly_name": name, "expression": expression, "targets": list(targets)}


def events_of(driver: WorkspaceDriver, task_sid: str) -> Any:
    listed = driver.workspace.events.list(task_sid=task_sid, minutes=10_000)
    return [event.event_type for event in listed if not event.event_type.startswith("reservation.")]


def test_the_first_filter_that_fits_decides(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(
        one_filter({"queue": "sales", "priority": 7}, expression='kind == "order"'),
        one_filter({"queue": "support"}, expression='kind IN ["order", "help"]'),
        default={"queue": "billing"},
    )
    tasks = {kind: driver.task(json.dumps({"kind": kind}), priority=3) for kind in ("order", "help", "else")}
    assert {kind: centre.where(sid) for kind, sid in tasks.items()} == {
        "order": "sales",
        "help": "support",
        "else": "billing",
    }
    assert [driver.workspace.tasks(sid).fetch().priority for sid in tasks.values()] == [7, 3, 3]


def test_the_event_says_what_was_matched(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales", "expression": "worker.level > task.level"}, name="Orders"))
    task_sid = driver.task()
    [event] = driver.workspace.events.list(event_type="workflow.target-matched")
    assert event.event_data["workflow_filter_name"] == "Orders"
    assert json.loads(event.event_data["workflow_filter_expression"]) == ["1==1"]
    assert event.event_data["workflow_filter_target_expression"] == "worker.level > task.level"
    assert events_of(driver, task_sid) == [
        "task.created",
        "workflow.entered",
        "workflow.target-matched",
        "task-queue.entered",
    ]


def test_a_task_that_fits_nothing_is_canceled_or_refused_by_switch(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales"}, expression='kind == "order"'))
    task = driver.workspace.tasks(driver.task()).fetch()
    assert (task.assignment_status, task.task_queue_sid, task.task_queue_entered_date) == ("canceled", None, None)
    assert "workflow.skipped" in events_of(driver, task.sid)
    driver.emulator.switches.unmatched_tasks_are_refused = True
    with pytest.raises(TwilioRestException) as refused:
        driver.task()
    assert refused.value.code == 20001


def test_time_outs_accumulate_by_the_age_of_the_task(driver: WorkspaceDriver, centre: Any) -> None:
    """The case of Twilio's own page: 10, 10 and 10 s; a reservation missed early does not make the next one longer."""
    driver.emulator.switches.next_target_after_reservation_timeout = True
    steps = [{"queue": skill, "timeout": 10} for skill in ("sales", "support", "billing")]
    centre.configure(one_filter(*steps), task_reservation_timeout=5)
    task_sid = driver.task()
    driver.emulator.state.advance(3)
    driver.worker("dana", skills=["sales"])
    assert driver.status(task_sid) == "reserved"
    driver.emulator.state.advance(5)
    assert centre.where(task_sid) == "support"
    driver.emulator.state.advance(11)
    assert centre.where(task_sid) == "support"
    driver.emulator.state.advance(1)
    assert centre.where(task_sid) == "billing"
    driver.emulator.state.advance(10)
    assert centre.where(task_sid) == "Workflow timed out"
    assert [entry["at"][17:19] for entry in driver.emulator.log.entries("task_queue_timeout")] == ["20", "30"]


def test_a_missed_reservation_leaves_the_task_in_its_target_by_default(driver: WorkspaceDriver, centre: Any) -> None:
    driver.workspace.update(timeout_activity_sid=driver.activities["Available"])
    centre.configure(
        one_filter({"queue": "sales", "timeout": 10}, {"queue": "support", "timeout": 10}), task_reservation_timeout=4
    )
    driver.worker("dana", skills=["sales"])
    task_sid = driver.task()
    driver.emulator.state.advance(9)
    assert (centre.where(task_sid), driver.status(task_sid)) == ("sales", "reserved")
    driver.emulator.state.advance(2)
    assert (centre.where(task_sid), driver.status(task_sid)) == ("sales", "reserved"), "a reservation is not cut short"
    driver.emulator.state.advance(1)
    assert centre.where(task_sid) == "support", "what has run out while it was reserved ends with the reservation"


def test_by_switch_each_target_has_its_own_time(driver: WorkspaceDriver, centre: Any) -> None:
    driver.emulator.switches.target_timeouts_accumulate = False
    steps = [{"queue": skill, "timeout": 10} for skill in ("sales", "support")]
    centre.configure(one_filter(*steps), task_reservation_timeout=4)
    driver.emulator.switches.next_target_after_reservation_timeout = True
    driver.worker("dana", skills=["sales"])
    task_sid = driver.task()
    driver.emulator.state.advance(4)
    assert centre.where(task_sid) == "support"
    driver.emulator.state.advance(9.5)
    assert centre.where(task_sid) == "support"
    driver.emulator.state.advance(0.5)
    assert centre.where(task_sid) == "Workflow timed out"


def test_after_the_last_target_the_next_fitting_filter_follows_but_never_the_default(
    driver: WorkspaceDriver, centre: Any
) -> None:
    centre.configure(
        one_filter({"queue": "sales", "timeout": 5}, expression='kind == "order"'),
        one_filter({"queue": "billing", "timeout": 5}, expression='kind == "help"'),
        one_filter({"queue": "support", "timeout": "5", "priority": "9"}),
        default={"queue": "billing"},
    )
    task_sid = driver.task('{"kind":"order"}')
    driver.emulator.state.advance(5)
    task = driver.workspace.tasks(task_sid).fetch()
    assert (task.task_queue_friendly_name, task.priority) == ("support", 9)
    assert task.task_queue_entered_date.isoformat() == "2026-01-01T12:00:05+00:00"
    driver.emulator.state.advance(5)
    assert centre.where(task_sid) == "Workflow timed out"
    assert events_of(driver, task_sid)[4:] == [
        "task-queue.timeout",
        "workflow.target-matched",
        "task-queue.moved",
        "task-queue.entered",
        "task-queue.timeout",
        "workflow.timeout",
        "task.canceled",
    ]


def test_a_target_without_queue_inherits_it_and_says_who(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(
        one_filter({"queue": "sales", "timeout": 10, "expression": "worker.friendly_name IN task.best"}, {})
    )
    driver.worker("dana", skills=["sales"])
    task_sid = driver.task('{"best":["eve"]}')
    assert (driver.status(task_sid), centre.where(task_sid)) == ("pending", "sales")
    driver.emulator.state.advance(10)
    assert (driver.status(task_sid), centre.where(task_sid)) == ("reserved", "sales")


def test_tasks_of_one_target_may_wait_for_different_workers(driver: WorkspaceDriver, centre: Any) -> None:
    """The first in line finds nobody; the second, whose attributes ask for somebody else, does."""
    centre.configure(one_filter({"queue": "sales", "expression": "worker.friendly_name == task.wanted"}))
    first, second = driver.task('{"wanted":"eve"}'), driver.task('{"wanted":"dana"}')
    driver.worker("dana", skills=["sales"])
    assert (driver.status(first), driver.status(second)) == ("pending", "reserved")


@pytest.mark.parametrize(
    ("skip_if", "goes_to"),
    [
        ("workers.available == 0", "support"),
        ("workers.available > 0", "sales"),
        ("workers.unavailable == 1", "support"),
        ("workers.{Offline} == 1 AND workers.{Available} == 0", "support"),
        ("1==1", "support"),
    ],
)
def test_a_step_without_workers_may_be_skipped(
    driver: WorkspaceDriver, centre: Any, skip_if: Any, goes_to: Any
) -> None:
    centre.configure(
        one_filter({"queue": "sales", "skip_if": skip_if.format(**driver.activities)}, {"queue": "support"})
    )
    driver.worker("dana", "Offline", skills=["sales"])
    driver.worker("eve", "Available", skills=["billing"])
    assert centre.where(driver.task()) == goes_to


def test_nobody_skips_who_is_reserved_at_once(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales", "skip_if": "1==1"}, {"queue": "support"}))
    driver.worker("dana", skills=["sales"])
    assert [centre.where(driver.task()) for _ in range(2)] == ["sales", "support"]


def test_whoever_skipped_all_filters_falls_into_the_default(driver: WorkspaceDriver, centre: Any) -> None:
    skipping = {"queue": "sales", "skip_if": "workers.available == 0"}
    centre.configure(one_filter(skipping), default={"queue": "billing"})
    assert centre.where(driver.task()) == "billing"
    centre.configure(one_filter(skipping))
    task_sid = driver.task()
    assert centre.where(task_sid) == "No filter of the workflow was left"
    assert "workflow.skipped" in events_of(driver, task_sid)


def test_a_timed_out_target_bars_the_default_even_after_a_skip(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(
        one_filter({"queue": "sales", "timeout": 5}, {"queue": "support", "skip_if": "1==1"}),
        default={"queue": "billing"},
    )
    task_sid = driver.task()
    driver.emulator.state.advance(5)
    assert centre.where(task_sid) == "No filter of the workflow was left"


def test_order_by_ranks_the_workers(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales", "order_by": "worker.level DESC, worker.rate.hour ASC"}))
    workers: dict[str, dict[str, Any]] = {
        "unrated": {},
        "junior": {"level": 1, "rate": {"hour": 1}},
        "dear": {"level": 9, "rate": {"hour": 80}},
        "cheap": {"level": 9, "rate": {"hour": 50}},
        "odd": {"level": "9"},
    }
    for name, attributes in workers.items():
        driver.worker(name, skills=["sales"], **attributes)
    names = [driver.reservation(driver.task()).worker_name for _ in range(5)]
    assert names == ["cheap", "dear", "junior", "unrated", "odd"]


@pytest.mark.parametrize("by", ["sid", "friendly_name"])
def test_a_known_worker_is_waited_for(driver: WorkspaceDriver, centre: Any, by: Any) -> None:
    dana = driver.worker("dana", "Offline", skills=["sales"])
    driver.worker("eve", skills=["sales"])
    centre.configure(one_filter({"queue": "sales", f"known_worker_{by}": "task.agent", "timeout": 60}, {}))
    task_sid = driver.task(json.dumps({"agent": dana if by == "sid" else "dana"}))
    assert driver.status(task_sid) == "pending"
    driver.workspace.workers(dana).update(activity_sid=driver.activities["Available"])
    assert driver.reservation(task_sid).worker_name == "dana"
    assert driver.alerts() == []


@pytest.mark.parametrize(
    ("agent", "alerts"),
    [("nobody", [40155]), ({"a": 1}, [40154]), ("", [40154]), (None, []), ("fremd", [40152])],
)
def test_a_known_worker_who_cannot_be_reserved_is_an_alert_and_the_task_waits(
    driver: WorkspaceDriver, centre: Any, agent: Any, alerts: Any
) -> None:
    driver.worker("fremd", skills=["billing"])
    centre.configure(one_filter({"queue": "sales", "known_worker_friendly_name": "task.agent", "timeout": 9}, {}))
    task_sid = driver.task(json.dumps({"agent": agent}))
    assert (driver.status(task_sid), driver.alerts()) == ("pending", alerts)


def test_workers_are_found_by_their_own_fields_and_their_channels(driver: WorkspaceDriver) -> None:
    driver.workspace.task_queues(driver.queue_sid).update(
        target_workers='worker.friendly_name == "dana" AND worker.activity_name == "Available" '
        "AND worker.channel.chat.available_capacity_percentage == 100 AND worker.tier > 1"
    )
    dana = driver.worker("dana", tier=2)
    driver.worker("eve", tier=2)
    driver.workspace.workers(dana).worker_channels("voice").update(capacity=3)
    chat, voice = driver.task(task_channel="chat"), driver.task(task_channel="voice")
    assert [driver.status(sid) for sid in (chat, voice)] == ["reserved", "pending"]
    listed = driver.workspace.workers.list(
        target_workers_expression=f'sid == "{dana}" AND activity_name == "Available"'
    )
    assert [worker.friendly_name for worker in listed] == ["dana"]


def test_capacity_in_per_cent_is_rounded_down(driver: WorkspaceDriver) -> None:
    channel = driver.workspace.workers(driver.worker()).worker_channels("default")
    channel.update(capacity=3)
    driver.task()
    assert channel.fetch().available_capacity_percentage == 66


def test_a_changed_configuration_moves_nobody_unless_asked(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales", "timeout": 60}, {"queue": "support"}))
    task_sid = driver.task()
    driver.emulator.state.advance(50)
    centre.configure(one_filter({"queue": "billing", "timeout": 30}))
    assert centre.where(task_sid) == "sales"
    centre.configure(one_filter({"queue": "billing", "timeout": 30}), re_evaluate_tasks="true")
    assert centre.where(task_sid) == "billing"
    driver.emulator.state.advance(29)
    assert centre.where(task_sid) == "billing", "its time in the workflow begins anew"
    driver.emulator.state.advance(1)
    assert centre.where(task_sid) == "Workflow timed out"


def test_attributes_are_evaluated_anew_by_switch_only(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales"}, expression="vip == true"), default={"queue": "support"})
    task_sid = driver.task("{}")
    driver.workspace.tasks(task_sid).update(attributes='{"vip":true}')
    assert centre.where(task_sid) == "support"
    driver.emulator.switches.attributes_are_evaluated_anew = True
    driver.workspace.tasks(task_sid).update(attributes='{"vip":true,"n":1}')
    assert centre.where(task_sid) == "sales"


def test_a_priority_that_the_target_sets_is_not_changed_by_clients(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales", "priority": 5}))
    assert driver.workspace.tasks(driver.task()).update(priority=9).priority == 5


@pytest.mark.parametrize(
    ("odd", "remark"),
    [
        (one_filter({"queue": "sales"}, {"queue": "support"}), "never reached"),
        (one_filter({"queue": "sales"}, expression="task.kind == 1"), "have no prefix"),
        (one_filter({"queue": "sales", "expression": "level > 3"}), "begin with task. or worker."),
        (one_filter({"queue": "sales", "colour": "red"}), "colour"),
        (one_filter({"queue": "sales"}, expression="a == 1 AND b == 2 OR c == 3"), "without parentheses"),
    ],
)
def test_what_is_allowed_and_hardly_meant_is_said_in_the_alert_log(
    driver: WorkspaceDriver, centre: Any, odd: Any, remark: Any
) -> None:
    centre.configure(odd)
    [alert] = driver.emulator.log.entries("alert")
    assert alert["alert"] == "workflow_configuration"
    assert remark in alert["message"]


def test_a_task_for_one_worker_ignores_capacity_unless_told(driver: WorkspaceDriver, centre: Any) -> None:
    dana, eve = driver.worker("dana", "Offline"), driver.worker("eve")
    del eve
    task = driver.workspace.tasks.create(attributes="{}", routing_target=dana)
    assert (task.routing_target, task.ignore_capacity, task.task_queue_friendly_name) == (dana, True, "Everybody")
    assert driver.reservation(task.sid).worker_name == "dana"
    careful = driver.workspace.tasks.create(attributes="{}", routing_target=dana, ignore_capacity="false")
    assert (careful.ignore_capacity, driver.status(careful.sid)) == (False, "pending")
    assert [one.sid for one in driver.workspace.tasks.list(routing_target=dana)] == [task.sid, careful.sid]


def test_a_task_goes_straight_to_a_queue_or_a_workflow(driver: WorkspaceDriver, centre: Any) -> None:
    centre.configure(one_filter({"queue": "sales", "timeout": 1}))
    straight = driver.workspace.tasks.create(attributes="{}", routing_target=centre.queues["billing"])
    named = driver.workspace.tasks.create(attributes="{}", task_queue_sid=centre.queues["billing"])
    by_workflow = driver.workspace.tasks.create(attributes="{}", routing_target=driver.workflow_sid)
    assert [centre.where(task.sid) for task in (straight, named, by_workflow)] == ["billing", "billing", "sales"]
    driver.emulator.state.advance(60)
    assert [centre.where(task.sid) for task in (straight, by_workflow)] == ["billing", "Workflow timed out"]
    with pytest.raises(TwilioRestException) as refused:
        driver.task(routing_target=centre.queues["billing"], ignore_capacity="true")
    assert refused.value.code == 20001


def test_the_workspace_says_which_kind_of_queue_goes_first(driver: WorkspaceDriver, centre: Any) -> None:
    driver.workspace.task_queues(centre.queues["support"]).update(task_order="LIFO")
    driver.workspace.update(prioritize_queue_order="LIFO")
    fifo = driver.task(task_queue_sid=centre.queues["sales"], priority=9)
    lifo = driver.task(task_queue_sid=centre.queues["support"])
    driver.worker(skills=["sales", "support"])
    assert [driver.status(sid) for sid in (fifo, lifo)] == ["pending", "reserved"]


def test_workers_take_turns_by_switch(driver: WorkspaceDriver) -> None:
    """dana has been idle longer, but eve was reserved longer ago."""
    driver.worker("eve")
    driver.worker("dana")
    eves, danas = driver.task(), driver.task()
    driver.emulator.state.advance(1)
    driver.workspace.tasks(danas).delete()
    driver.emulator.state.advance(1)
    driver.workspace.tasks(eves).delete()
    probe = driver.task()
    assert driver.reservation(probe).worker_name == "dana"
    driver.workspace.tasks(probe).delete()
    driver.emulator.switches.workers_in_turn = True
    assert driver.reservation(driver.task()).worker_name == "eve"
