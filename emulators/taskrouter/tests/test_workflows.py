"""The way of tasks through a workflow: filters, targets, time-outs, skips, known workers, order, evaluation anew."""

import json

import pytest
from twilio.base.exceptions import TwilioRestException


@pytest.fixture
def centre(desk):
    """The desk with one queue a skill; `configure` gives its workflow a configuration that names queues by skill."""

    class Centre:
        def __init__(self):
            create = desk.workspace.task_queues.create
            skills = ("sales", "support", "billing")
            self.queues = {
                skill: create(friendly_name=skill, target_workers=f'skills HAS "{skill}"').sid for skill in skills
            }

        def configure(self, *filters, default=None, **parameters):
            for one in (*(target for each in filters for target in each["targets"]), *([default] if default else [])):
                if one.get("queue") in self.queues:
                    one["queue"] = self.queues[one["queue"]]
            routing = {"filters": list(filters)} | ({"default_filter": default} if default else {})
            text = json.dumps({"task_routing": routing})
            desk.workspace.workflows(desk.workflow_sid).update(configuration=text, **parameters)

        def where(self, task_sid):
            task = desk.workspace.tasks(task_sid).fetch()
            return task.task_queue_friendly_name if task.assignment_status != "canceled" else task.reason

    return Centre()


def one_filter(*targets, expression="1==1", name="all"):
    return {"filter_friendly_name": name, "expression": expression, "targets": list(targets)}


def events_of(desk, task_sid):
    listed = desk.workspace.events.list(task_sid=task_sid, minutes=10_000)
    return [event.event_type for event in listed if not event.event_type.startswith("reservation.")]


def test_the_first_filter_that_fits_decides(desk, centre):
    centre.configure(
        one_filter({"queue": "sales", "priority": 7}, expression='kind == "order"'),
        one_filter({"queue": "support"}, expression='kind IN ["order", "help"]'),
        default={"queue": "billing"},
    )
    tasks = {kind: desk.task(json.dumps({"kind": kind}), priority=3) for kind in ("order", "help", "else")}
    assert {kind: centre.where(sid) for kind, sid in tasks.items()} == {
        "order": "sales",
        "help": "support",
        "else": "billing",
    }
    assert [desk.workspace.tasks(sid).fetch().priority for sid in tasks.values()] == [7, 3, 3]


def test_the_event_says_what_was_matched(desk, centre):
    centre.configure(one_filter({"queue": "sales", "expression": "worker.level > task.level"}, name="Orders"))
    task_sid = desk.task()
    [event] = desk.workspace.events.list(event_type="workflow.target-matched")
    assert event.event_data["workflow_filter_name"] == "Orders"
    assert json.loads(event.event_data["workflow_filter_expression"]) == ["1==1", "worker.level > task.level"]
    assert events_of(desk, task_sid) == [
        "task.created",
        "workflow.entered",
        "workflow.target-matched",
        "task-queue.entered",
    ]


def test_a_task_that_fits_nothing_is_canceled_or_refused_by_switch(desk, centre):
    centre.configure(one_filter({"queue": "sales"}, expression='kind == "order"'))
    task = desk.workspace.tasks(desk.task()).fetch()
    assert (task.assignment_status, task.task_queue_sid, task.task_queue_entered_date) == ("canceled", None, None)
    assert "workflow.skipped" in events_of(desk, task.sid)
    desk.emulator.switches.unmatched_tasks_are_refused = True
    with pytest.raises(TwilioRestException) as refused:
        desk.task()
    assert refused.value.code == 20001


def test_time_outs_accumulate_by_the_age_of_the_task(desk, centre):
    """The case of Twilio's own page: 10, 10 and 10 s; a reservation missed early does not make the next one longer."""
    desk.emulator.switches.next_target_after_reservation_timeout = True
    steps = [{"queue": skill, "timeout": 10} for skill in ("sales", "support", "billing")]
    centre.configure(one_filter(*steps), task_reservation_timeout=5)
    task_sid = desk.task()
    desk.emulator.state.advance(3)
    desk.worker("dana", skills=["sales"])
    assert desk.status(task_sid) == "reserved"
    desk.emulator.state.advance(5)
    assert centre.where(task_sid) == "support"
    desk.emulator.state.advance(11)
    assert centre.where(task_sid) == "support"
    desk.emulator.state.advance(1)
    assert centre.where(task_sid) == "billing"
    desk.emulator.state.advance(10)
    assert centre.where(task_sid) == "Workflow timed out"
    assert [entry["at"][17:19] for entry in desk.emulator.log.entries("task_queue_timeout")] == ["20", "30"]


def test_a_missed_reservation_leaves_the_task_in_its_target_by_default(desk, centre):
    desk.workspace.update(timeout_activity_sid=desk.activities["Available"])
    centre.configure(
        one_filter({"queue": "sales", "timeout": 10}, {"queue": "support", "timeout": 10}), task_reservation_timeout=4
    )
    desk.worker("dana", skills=["sales"])
    task_sid = desk.task()
    desk.emulator.state.advance(9)
    assert (centre.where(task_sid), desk.status(task_sid)) == ("sales", "reserved")
    desk.emulator.state.advance(2)
    assert (centre.where(task_sid), desk.status(task_sid)) == ("sales", "reserved"), "a reservation is not cut short"
    desk.emulator.state.advance(1)
    assert centre.where(task_sid) == "support", "what has run out while it was reserved ends with the reservation"


def test_by_switch_each_target_has_its_own_time(desk, centre):
    desk.emulator.switches.target_timeouts_accumulate = False
    steps = [{"queue": skill, "timeout": 10} for skill in ("sales", "support")]
    centre.configure(one_filter(*steps), task_reservation_timeout=4)
    desk.emulator.switches.next_target_after_reservation_timeout = True
    desk.worker("dana", skills=["sales"])
    task_sid = desk.task()
    desk.emulator.state.advance(4)
    assert centre.where(task_sid) == "support"
    desk.emulator.state.advance(9.5)
    assert centre.where(task_sid) == "support"
    desk.emulator.state.advance(0.5)
    assert centre.where(task_sid) == "Workflow timed out"


def test_after_the_last_target_the_next_fitting_filter_follows_but_never_the_default(desk, centre):
    centre.configure(
        one_filter({"queue": "sales", "timeout": 5}, expression='kind == "order"'),
        one_filter({"queue": "billing", "timeout": 5}, expression='kind == "help"'),
        one_filter({"queue": "support", "timeout": "5", "priority": "9"}),
        default={"queue": "billing"},
    )
    task_sid = desk.task('{"kind":"order"}')
    desk.emulator.state.advance(5)
    task = desk.workspace.tasks(task_sid).fetch()
    assert (task.task_queue_friendly_name, task.priority) == ("support", 9)
    assert task.task_queue_entered_date.isoformat() == "2026-01-01T12:00:05+00:00"
    desk.emulator.state.advance(5)
    assert centre.where(task_sid) == "Workflow timed out"
    assert events_of(desk, task_sid)[4:] == [
        "task-queue.timeout",
        "workflow.target-matched",
        "task-queue.moved",
        "task-queue.entered",
        "task-queue.timeout",
        "workflow.timeout",
        "task.canceled",
    ]


def test_a_target_without_queue_inherits_it_and_says_who(desk, centre):
    centre.configure(
        one_filter({"queue": "sales", "timeout": 10, "expression": "worker.friendly_name IN task.best"}, {})
    )
    desk.worker("dana", skills=["sales"])
    task_sid = desk.task('{"best":["eve"]}')
    assert (desk.status(task_sid), centre.where(task_sid)) == ("pending", "sales")
    desk.emulator.state.advance(10)
    assert (desk.status(task_sid), centre.where(task_sid)) == ("reserved", "sales")


def test_tasks_of_one_target_may_wait_for_different_workers(desk, centre):
    """The first in line finds nobody; the second, whose attributes ask for somebody else, does."""
    centre.configure(one_filter({"queue": "sales", "expression": "worker.friendly_name == task.wanted"}))
    first, second = desk.task('{"wanted":"eve"}'), desk.task('{"wanted":"dana"}')
    desk.worker("dana", skills=["sales"])
    assert (desk.status(first), desk.status(second)) == ("pending", "reserved")


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
def test_a_step_without_workers_may_be_skipped(desk, centre, skip_if, goes_to):
    centre.configure(one_filter({"queue": "sales", "skip_if": skip_if.format(**desk.activities)}, {"queue": "support"}))
    desk.worker("dana", "Offline", skills=["sales"])
    desk.worker("eve", "Available", skills=["billing"])
    assert centre.where(desk.task()) == goes_to


def test_nobody_skips_who_is_reserved_at_once(desk, centre):
    centre.configure(one_filter({"queue": "sales", "skip_if": "1==1"}, {"queue": "support"}))
    desk.worker("dana", skills=["sales"])
    assert [centre.where(desk.task()) for _ in range(2)] == ["sales", "support"]


def test_whoever_skipped_all_filters_falls_into_the_default(desk, centre):
    skipping = {"queue": "sales", "skip_if": "workers.available == 0"}
    centre.configure(one_filter(skipping), default={"queue": "billing"})
    assert centre.where(desk.task()) == "billing"
    centre.configure(one_filter(skipping))
    task_sid = desk.task()
    assert centre.where(task_sid) == "No filter of the workflow was left"
    assert "workflow.skipped" in events_of(desk, task_sid)


def test_a_timed_out_target_bars_the_default_even_after_a_skip(desk, centre):
    centre.configure(
        one_filter({"queue": "sales", "timeout": 5}, {"queue": "support", "skip_if": "1==1"}),
        default={"queue": "billing"},
    )
    task_sid = desk.task()
    desk.emulator.state.advance(5)
    assert centre.where(task_sid) == "No filter of the workflow was left"


def test_order_by_ranks_the_workers(desk, centre):
    centre.configure(one_filter({"queue": "sales", "order_by": "worker.level DESC, worker.rate.hour ASC"}))
    for name, more in {
        "unrated": {},
        "junior": {"level": 1, "rate": {"hour": 1}},
        "dear": {"level": 9, "rate": {"hour": 80}},
        "cheap": {"level": 9, "rate": {"hour": 50}},
        "odd": {"level": "9"},
    }.items():
        desk.worker(name, skills=["sales"], **more)
    names = [desk.reservation(desk.task()).worker_name for _ in range(5)]
    assert names == ["cheap", "dear", "junior", "unrated", "odd"]


@pytest.mark.parametrize("by", ["sid", "friendly_name"])
def test_a_known_worker_is_waited_for(desk, centre, by):
    dana = desk.worker("dana", "Offline", skills=["sales"])
    desk.worker("eve", skills=["sales"])
    centre.configure(one_filter({"queue": "sales", f"known_worker_{by}": "task.agent", "timeout": 60}, {}))
    task_sid = desk.task(json.dumps({"agent": dana if by == "sid" else "dana"}))
    assert desk.status(task_sid) == "pending"
    desk.workspace.workers(dana).update(activity_sid=desk.activities["Available"])
    assert desk.reservation(task_sid).worker_name == "dana"
    assert desk.alerts() == []


@pytest.mark.parametrize(
    ("agent", "alerts"),
    [("nobody", [40155]), ({"a": 1}, [40154]), ("", [40154]), (None, []), ("fremd", [40152])],
)
def test_a_known_worker_who_cannot_be_reserved_is_an_alert_and_the_task_waits(desk, centre, agent, alerts):
    desk.worker("fremd", skills=["billing"])
    centre.configure(one_filter({"queue": "sales", "known_worker_friendly_name": "task.agent", "timeout": 9}, {}))
    task_sid = desk.task(json.dumps({"agent": agent}))
    assert (desk.status(task_sid), desk.alerts()) == ("pending", alerts)


def test_workers_are_found_by_their_own_fields_and_their_channels(desk):
    desk.workspace.task_queues(desk.queue_sid).update(
        target_workers='worker.friendly_name == "dana" AND worker.activity_name == "Available" '
        "AND worker.channel.chat.available_capacity_percentage == 100 AND worker.tier > 1"
    )
    dana = desk.worker("dana", tier=2)
    desk.worker("eve", tier=2)
    desk.workspace.workers(dana).worker_channels("voice").update(capacity=3)
    chat, voice = desk.task(task_channel="chat"), desk.task(task_channel="voice")
    assert [desk.status(sid) for sid in (chat, voice)] == ["reserved", "pending"]
    listed = desk.workspace.workers.list(target_workers_expression=f'sid == "{dana}" AND activity_name == "Available"')
    assert [worker.friendly_name for worker in listed] == ["dana"]


def test_capacity_in_per_cent_is_rounded_down(desk):
    channel = desk.workspace.workers(desk.worker()).worker_channels("default")
    channel.update(capacity=3)
    desk.task()
    assert channel.fetch().available_capacity_percentage == 66


def test_a_changed_configuration_moves_nobody_unless_asked(desk, centre):
    centre.configure(one_filter({"queue": "sales", "timeout": 60}, {"queue": "support"}))
    task_sid = desk.task()
    desk.emulator.state.advance(50)
    centre.configure(one_filter({"queue": "billing", "timeout": 30}))
    assert centre.where(task_sid) == "sales"
    centre.configure(one_filter({"queue": "billing", "timeout": 30}), re_evaluate_tasks="true")
    assert centre.where(task_sid) == "billing"
    desk.emulator.state.advance(29)
    assert centre.where(task_sid) == "billing", "its time in the workflow begins anew"
    desk.emulator.state.advance(1)
    assert centre.where(task_sid) == "Workflow timed out"


def test_attributes_are_evaluated_anew_by_switch_only(desk, centre):
    centre.configure(one_filter({"queue": "sales"}, expression="vip == true"), default={"queue": "support"})
    task_sid = desk.task("{}")
    desk.workspace.tasks(task_sid).update(attributes='{"vip":true}')
    assert centre.where(task_sid) == "support"
    desk.emulator.switches.attributes_are_evaluated_anew = True
    desk.workspace.tasks(task_sid).update(attributes='{"vip":true,"n":1}')
    assert centre.where(task_sid) == "sales"


def test_a_priority_that_the_target_sets_is_not_changed_by_clients(desk, centre):
    centre.configure(one_filter({"queue": "sales", "priority": 5}))
    assert desk.workspace.tasks(desk.task()).update(priority=9).priority == 5


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
def test_what_is_allowed_and_hardly_meant_is_said_in_the_alert_log(desk, centre, odd, remark):
    centre.configure(odd)
    [alert] = desk.emulator.log.entries("alert")
    assert alert["alert"] == "workflow_configuration"
    assert remark in alert["message"]


def test_a_task_for_one_worker_ignores_capacity_unless_told(desk, centre):
    dana, eve = desk.worker("dana", "Offline"), desk.worker("eve")
    del eve
    task = desk.workspace.tasks.create(attributes="{}", routing_target=dana)
    assert (task.routing_target, task.ignore_capacity, task.task_queue_friendly_name) == (dana, True, "Everybody")
    assert desk.reservation(task.sid).worker_name == "dana"
    careful = desk.workspace.tasks.create(attributes="{}", routing_target=dana, ignore_capacity="false")
    assert (careful.ignore_capacity, desk.status(careful.sid)) == (False, "pending")
    assert [one.sid for one in desk.workspace.tasks.list(routing_target=dana)] == [task.sid, careful.sid]


def test_a_task_goes_straight_to_a_queue_or_a_workflow(desk, centre):
    centre.configure(one_filter({"queue": "sales", "timeout": 1}))
    straight = desk.workspace.tasks.create(attributes="{}", routing_target=centre.queues["billing"])
    named = desk.workspace.tasks.create(attributes="{}", task_queue_sid=centre.queues["billing"])
    by_workflow = desk.workspace.tasks.create(attributes="{}", routing_target=desk.workflow_sid)
    assert [centre.where(task.sid) for task in (straight, named, by_workflow)] == ["billing", "billing", "sales"]
    desk.emulator.state.advance(60)
    assert [centre.where(task.sid) for task in (straight, by_workflow)] == ["billing", "Workflow timed out"]
    with pytest.raises(TwilioRestException) as refused:
        desk.task(routing_target=centre.queues["billing"], ignore_capacity="true")
    assert refused.value.code == 20001


def test_the_workspace_says_which_kind_of_queue_goes_first(desk, centre):
    desk.workspace.task_queues(centre.queues["support"]).update(task_order="LIFO")
    desk.workspace.update(prioritize_queue_order="LIFO")
    fifo = desk.task(task_queue_sid=centre.queues["sales"], priority=9)
    lifo = desk.task(task_queue_sid=centre.queues["support"])
    desk.worker(skills=["sales", "support"])
    assert [desk.status(sid) for sid in (fifo, lifo)] == ["pending", "reserved"]


def test_workers_take_turns_by_switch(desk):
    """dana has been idle longer, but eve was reserved longer ago."""
    desk.worker("eve")
    desk.worker("dana")
    eves, danas = desk.task(), desk.task()
    desk.emulator.state.advance(1)
    desk.workspace.tasks(danas).delete()
    desk.emulator.state.advance(1)
    desk.workspace.tasks(eves).delete()
    probe = desk.task()
    assert desk.reservation(probe).worker_name == "dana"
    desk.workspace.tasks(probe).delete()
    desk.emulator.switches.workers_in_turn = True
    assert desk.reservation(desk.task()).worker_name == "eve"
