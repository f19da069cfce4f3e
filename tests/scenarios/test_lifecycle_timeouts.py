"""Nobody takes it up: re-queued, counted, raised, escalated, handed over, and each of these once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enrich.domain.outcomes import ActivityType
from enrich.domain.tasks import TaskState
from enrich.journal.task_states import TaskStates
from enrich.taskrouter.client import TaskRouterClient
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, sid
from tests.support.worker import worker_of

EVENTS = ",".join(
    (
        "task.created",
        "task.updated",
        "task.canceled",
        "reservation.created",
        "reservation.timeout",
        "reservation.rejected",
        "reservation.canceled",
    )
)
RINGS_S = 30
STEPS = """
[timeouts]
alarm_canceled = 3

[[timeouts.steps]]
after = 1
raise_priority_to = 20

[[timeouts.steps]]
after = 2
raise_priority_to = 50
escalation = 1

[[timeouts.steps]]
after = 3
escalation = 2
hand_over = true
"""


@pytest.fixture
def emulator(emulator_ahead: EmulatorServer) -> EmulatorServer:
    return emulator_ahead


@pytest.fixture(scope="module")
def start_service(start_service: Callable[..., Service], emulator_ahead: EmulatorServer) -> Callable[..., Service]:
    return partial(start_service, TASKROUTER_BASE_URL=emulator_ahead.base_url)


@pytest.fixture(scope="module")
def strict(start_service: Callable[..., Service], tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service that lets agents accept by themselves, with a policy about those who do not."""
    policy: Path = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text(STEPS)
    return start_service(ENRICH_POLICY=str(policy), ENRICH_DEFAULT_INSTRUCTION="defer")


@pytest.fixture
def ringing(open_centre: Callable[..., ContactCentre], strict: Service) -> ContactCentre:
    """A centre where it rings for half a minute, and whose worker stays available all the same."""
    centre = open_centre(strict, reservation_timeout_s=RINGS_S, events=EVENTS)
    available = next(each.sid for each in centre.workspace.activities.list() if each.available)
    centre.workspace.update(timeout_activity_sid=available)
    return centre


def rings_in_vain(centre: ContactCentre, task_sid: str) -> None:
    """The reservation times out; returns when the service has been told."""
    before = centre.emulator.log.last
    centre.emulator.state.advance(RINGS_S + 1)
    centre.emulator.log.wait_for(
        "event_answered", 10, after=before, task_sid=task_sid, event_type="reservation.timeout"
    )


def state(service: Service, task_sid: str) -> TaskState:
    found = TaskStates(service.database).of(task_sid)
    assert found is not None
    return found


def told(service: Service, task_sid: str) -> list[str]:
    """Return the activities of the service on this task, in order."""
    return [entry.event_type for entry in service.entries(task_sid=task_sid) if entry.event_type in set(ActivityType)]


def priority(centre: ContactCentre, task_sid: str) -> int:
    return int(centre.workspace.tasks(task_sid).fetch().priority)


@pytest.fixture
def work(strict: Service) -> Iterator[Callable[[], int]]:
    with worker_of(strict) as work:
        yield work


def test_without_a_policy_a_miss_is_counted_and_nothing_is_asked(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
) -> None:
    service = start_service(ENRICH_DEFAULT_INSTRUCTION="defer")
    centre = open_centre(service, reservation_timeout_s=RINGS_S, events=EVENTS)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    rings_in_vain(centre, task_sid)
    before = centre.emulator.log.last
    with worker_of(service) as work:
        work()
    assert centre.emulator.log.entries("rest_answered", after=before) == []
    assert (state(service, task_sid).misses, told(service, task_sid)) == (1, [])


def test_from_the_first_miss_to_another_task(
    ringing: ContactCentre, strict: Service, emulator: EmulatorServer, work: Callable[[], int]
) -> None:
    centre = ringing
    attributes = {"from": "+14155550100", "note": "keep me, 1e400 and all", "number": 1.50}
    task_sid = centre.task_arrives(json.dumps(attributes).replace("1.5", "1.50"))
    created = centre.workspace.tasks(task_sid).fetch()
    assert centre.answer(task_sid) == {}
    work()

    rings_in_vain(centre, task_sid)
    work()
    assert (state(strict, task_sid).misses, priority(centre, task_sid)) == (1, 20)
    assert "escalation" not in centre.block(task_sid)

    rings_in_vain(centre, task_sid)
    work()
    assert (priority(centre, task_sid), centre.block(task_sid)["escalation"]) == (50, 1)
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    assert told(strict, task_sid) == [
        ActivityType.PRIORITY_RAISED,
        ActivityType.PRIORITY_RAISED,
        ActivityType.ESCALATED,
    ]

    rings_in_vain(centre, task_sid)
    work()
    old = centre.workspace.tasks(task_sid).fetch()
    assert (old.assignment_status, old.reason.startswith("handed over, ")) == ("canceled", True)
    new_sid = state(strict, task_sid).handed_over_to
    assert new_sid is not None
    new = centre.workspace.tasks(new_sid).fetch()
    assert (new.virtual_start_time, new.priority, new.task_channel_unique_name) == (
        created.virtual_start_time,
        50,
        "default",
    )
    assert '"number": 1.50' in new.attributes
    kept = json.loads(new.attributes)
    assert kept["note"] == attributes["note"]
    assert kept["crm_handover"]["from"] == task_sid

    centre.answer(new_sid)
    work()
    assert centre.block(new_sid)["escalation"] == 2
    taken = state(strict, new_sid)
    assert (taken.handed_over_from, taken.hand_overs, taken.misses) == (task_sid, 1, 0)
    assert told(strict, new_sid) == [ActivityType.TAKEN_OVER]
    assert len(centre.workspace.tasks.list(evaluate_task_attributes=f'crm_handover.from == "{task_sid}"')) == 1

    # Missed over there as well: it is not handed over in a circle, but somebody should look.
    for _ in range(3):
        rings_in_vain(centre, new_sid)
        work()
    assert centre.workspace.tasks(new_sid).fetch().assignment_status != "canceled"
    assert state(strict, new_sid).alarm == "handed_over_before"
    assert TaskStates(strict.database).alarms(state(strict, new_sid).updated_at)[0].task_sid == new_sid


def test_an_escalated_task_stays_escalated_and_warm(
    ringing: ContactCentre, strict: Service, work: Callable[[], int]
) -> None:
    """Its next callback finds the whole block current, the level included, and asks TaskRouter nothing."""
    centre = ringing
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    rings_in_vain(centre, task_sid)
    work()
    # The level is written while the second reservation's callback has long been answered; the third one finds it.
    rings_in_vain(centre, task_sid)
    work()
    assert centre.block(task_sid)["escalation"] == 1
    away, there = (
        next(each.sid for each in centre.workspace.activities.list() if each.available is available)
        for available in (False, True)
    )
    centre.workspace.workers(centre.worker_sid).update(activity_sid=away, reject_pending_reservations=True)
    before = centre.emulator.log.last
    centre.workspace.workers(centre.worker_sid).update(activity_sid=there)
    centre.emulator.log.wait_for("assignment_callback_answered", 10, after=before, task_sid=task_sid)
    asked = centre.emulator.log.entries("rest_answered", after=before)
    assert [each["path"] for each in asked if task_sid in str(each["path"])] == []
    written = centre.log_of(task_sid).count("attributes_written")
    work()
    assert centre.block(task_sid)["escalation"] in (1, 2)  # the rejection was the third miss
    assert centre.log_of(task_sid).count("attributes_written") <= written + 1


@pytest.mark.parametrize("bound_by", ["call_sid", "flexInteractionSid"])
def test_a_call_and_a_flex_interaction_stay_where_they_are(
    ringing: ContactCentre, strict: Service, work: Callable[[], int], bound_by: str
) -> None:
    centre = ringing
    task_sid = centre.task_arrives({"from": "+14155550100", bound_by: "CA" + "1" * 32})
    centre.answer(task_sid)
    for _ in range(4):
        rings_in_vain(centre, task_sid)
        work()
    assert centre.workspace.tasks(task_sid).fetch().assignment_status == "reserved"
    assert state(strict, task_sid).handed_over_to is None
    assert centre.block(task_sid)["escalation"] == 2


def test_two_workers_hand_over_once(ringing: ContactCentre, strict: Service) -> None:
    """Three misses are due at once, and two workers are at them."""
    centre = ringing
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    for _ in range(3):
        rings_in_vain(centre, task_sid)
    with worker_of(strict) as one, worker_of(strict) as other, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda work: work(), (one, other)))
    with worker_of(strict, later=timedelta(minutes=5)) as later:  # what met the other's write
        later()
    assert centre.workspace.tasks(task_sid).fetch().assignment_status == "canceled"
    found = centre.workspace.tasks.list(evaluate_task_attributes=f'crm_handover.from == "{task_sid}"')
    assert len(found) == 1
    assert told(strict, task_sid).count(ActivityType.HANDED_OVER) == 1


class DyingClient:
    """A client of TaskRouter whose worker dies at one of its requests."""

    def __init__(self, client: TaskRouterClient, dies: str) -> None:
        self._client, self._dies = client, dies

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def move_task(self, *arguments: Any, **named: Any) -> None:
        if self._dies == "before it cancels":
            raise KeyboardInterrupt
        self._client.move_task(*arguments, **named)
        if self._dies == "after it canceled":
            raise KeyboardInterrupt

    def create_task(self, *arguments: Any, **named: Any) -> str:
        created = self._client.create_task(*arguments, **named)
        if self._dies == "after it created":
            raise KeyboardInterrupt
        return created


@pytest.mark.parametrize("dies", ["before it cancels", "after it canceled", "after it created"])
def test_whoever_dies_in_between_the_work_is_neither_lost_nor_doubled(
    ringing: ContactCentre, strict: Service, dies: str
) -> None:
    centre = ringing
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    for _ in range(3):
        rings_in_vain(centre, task_sid)
    with worker_of(strict, client=lambda client: DyingClient(client, dies)) as work, pytest.raises(KeyboardInterrupt):
        work()
    with worker_of(strict, later=timedelta(minutes=2)) as other:
        other()
    found = centre.workspace.tasks.list(evaluate_task_attributes=f'crm_handover.from == "{task_sid}"')
    assert len(found) == 1
    assert centre.workspace.tasks(task_sid).fetch().assignment_status == "canceled"
    assert state(strict, task_sid).handed_over_to == found[0].sid


def test_what_was_taken_up_in_between_is_left_alone(
    ringing: ContactCentre, strict: Service, work: Callable[[], int]
) -> None:
    centre = ringing
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    for _ in range(3):
        rings_in_vain(centre, task_sid)
    reservations = centre.workspace.tasks(task_sid).reservations
    reservations(reservations.list(reservation_status="pending")[0].sid).update(reservation_status="accepted")
    work()
    task = centre.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.priority) == ("assigned", 0)
    assert state(strict, task_sid).handed_over_to is None


def test_a_worker_who_lets_it_ring_is_sent_away(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    probe = open_centre(start_service(ENRICH_DEFAULT_INSTRUCTION="defer"), events=EVENTS)
    away = next(each.sid for each in probe.workspace.activities.list() if not each.available)
    policy.write_text(f'[timeouts]\nworker_activity = {{ timeout = "{away}" }}\n')
    service = start_service(ENRICH_POLICY=str(policy), ENRICH_DEFAULT_INSTRUCTION="defer")
    probe.workspace.update(event_callback_url=f"{service.url}/taskrouter/events")
    workflow = probe.workspace.workflows.list()[0]
    probe.workspace.workflows(workflow.sid).update(
        assignment_callback_url=f"{service.url}/taskrouter/assignment", task_reservation_timeout=RINGS_S
    )
    available = next(each.sid for each in probe.workspace.activities.list() if each.available)
    probe.workspace.update(timeout_activity_sid=available)
    task_sid = probe.task_arrives({"from": "+14155550100"})
    probe.answer(task_sid)
    rings_in_vain(probe, task_sid)
    with worker_of(service) as work:
        work()
    assert probe.workspace.workers(probe.worker_sid).fetch().activity_sid == away
    assert told(service, task_sid) == [ActivityType.WORKER_MOVED]


def test_a_circle_of_cancellations_raises_an_alarm_until_the_task_is_over(strict: Service) -> None:
    task_sid, workspace_sid = sid("WT"), sid("WS")

    def event(event_type: str, **fields: str) -> None:
        form = {"Sid": sid("EV"), "EventType": event_type, "TaskSid": task_sid, "WorkspaceSid": workspace_sid, **fields}
        assert strict.post("/taskrouter/events", form).status_code == 204

    for _ in range(3):
        event("reservation.canceled", ReservationSid=sid("WR"))
    with worker_of(strict) as work:
        work()
    found = state(strict, task_sid)
    assert (found.alarm, found.canceled) == ("canceled_loop", 3)
    states = TaskStates(strict.database)
    assert states.alarm_counts(found.updated_at)["canceled_loop"] >= 1
    assert told(strict, task_sid) == [ActivityType.ALARM]
    event("task.canceled")
    with worker_of(strict, later=timedelta(seconds=5)) as work:
        work()
    assert task_sid not in {each.task_sid for each in states.alarms(found.updated_at)}
