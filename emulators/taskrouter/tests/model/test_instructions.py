"""Every instruction, in a callback's response and over REST: executed, or refused with its code."""

import json
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver

CALL_SID = "CA" + "1" * 32
VOICE = json.dumps({"call_sid": CALL_SID, "from": "+14155550100", "to": "+14155550199"})
CHAT = json.dumps({"from": "+14155550100"})
URL = "http://127.0.0.1:1/twiml"

COMPLETE: dict[str, dict[str, Any]] = {
    "dequeue": {"instruction": "dequeue"},
    "conference": {"instruction": "conference", "from": "+14155550199"},
    "call and accept": {"instruction": "call", "from": "+14155550199", "url": URL, "accept": True},
    "redirect and accept": {"instruction": "redirect", "call_sid": CALL_SID, "url": URL, "accept": True},
}


@pytest.fixture
def answered(driver: WorkspaceDriver, receiver: Receiver) -> Any:
    """Create a task whose assignment callback gets this response, and wait until everything has settled."""

    def make(answer: Any, attributes: Any = VOICE, contact_uri: Any = "client:dana") -> Any:
        driver.callbacks(receiver.answer("/assign", answer))
        driver.worker("dana", contact_uri=contact_uri)
        task_sid = driver.task(attributes)
        driver.settle()
        return task_sid

    return make


@pytest.mark.parametrize("answer", COMPLETE.values(), ids=COMPLETE)
def test_a_connected_worker_has_accepted(driver: WorkspaceDriver, answered: Any, answer: Any) -> None:
    task_sid = answered(answer)
    assert driver.alerts() == []
    assert driver.status(task_sid) == "assigned"
    [accepted] = driver.emulator.log.entries("reservation_accepted")
    assert (accepted["via"], accepted["instruction"]) == ("callback", answer["instruction"])


@pytest.mark.parametrize("name", ["call", "redirect"])
def test_call_and_redirect_accept_only_if_they_say_so(driver: WorkspaceDriver, answered: Any, name: str) -> None:
    answer = COMPLETE[f"{name} and accept"] | {"accept": False}
    task_sid = answered(answer)
    assert driver.alerts() == []
    assert driver.reservation(task_sid).reservation_status == "pending"


def test_the_worker_answers_after_a_moment_and_the_time_out_waits(driver: WorkspaceDriver, receiver: Receiver) -> None:
    """While a worker's leg is set up the reservation is on hold: no time-out, and it is accepted in the end."""
    driver.emulator.switches.worker_answers_after_s = 200
    driver.callbacks(receiver.answer("/assign", {"instruction": "dequeue"}))
    driver.worker()
    task_sid = driver.task(VOICE)
    driver.emulator.deliveries.wait_until_idle()
    driver.emulator.state.advance(199)
    assert driver.reservation(task_sid).reservation_status == "pending"
    driver.emulator.state.advance(1)
    assert driver.status(task_sid) == "assigned"


@pytest.mark.parametrize("name", ["dequeue", "call and accept"])
def test_dialling_writes_the_workers_call_into_the_attributes(
    driver: WorkspaceDriver, answered: Any, name: str
) -> None:
    """TaskRouter is a second writer of voice tasks; the rest of the text stays to the letter."""
    spaced = VOICE.replace(":", " : ")
    attributes = driver.workspace.tasks(answered(COMPLETE[name], spaced)).fetch().attributes
    assert attributes.startswith(spaced.rstrip("}"))
    assert json.loads(attributes)["worker_call_sid"].startswith("CA")
    assert driver.emulator.log.entries("attributes_written")[0]["by"] == "taskrouter"


def test_reject_moves_the_worker_and_frees_the_task(driver: WorkspaceDriver, answered: Any) -> None:
    task_sid = answered({"instruction": "reject", "activity_sid": driver.activities["Unavailable"]})
    assert driver.status(task_sid) == "pending"
    [worker] = driver.workspace.workers.list()
    assert worker.activity_name == "Unavailable"


def test_a_voice_task_merely_accepted_leaves_the_caller_in_the_queue(driver: WorkspaceDriver, answered: Any) -> None:
    answered({"instruction": "accept"})
    assert driver.alerts() == ["caller_left_in_queue"]


def test_a_chat_merely_accepted_is_all_right(driver: WorkspaceDriver, answered: Any) -> None:
    answered({"instruction": "accept"}, CHAT)
    assert driver.alerts() == []


INCOMPLETE = [
    (40100, {"instruction": "reject"}, {}),
    (40100, {"instruction": "reject", "activity_sid": "WA" + "9" * 32}, {}),
    (40140, {"instruction": "dequeue"}, {"attributes": CHAT}),
    (40131, {"instruction": "dequeue"}, {"contact_uri": ""}),
    (40130, {"instruction": "dequeue", "post_work_activity_sid": "WA1"}, {}),
    (40134, {"instruction": "dequeue", "status_callback_events": "answered,sung"}, {}),
    (40157, {"instruction": "dequeue", "status_callback_url": "nowhere"}, {}),
    (40110, COMPLETE["call and accept"], {"contact_uri": ""}),
    (40111, {"instruction": "call", "url": URL}, {}),
    (40112, {"instruction": "call", "from": "+1"}, {}),
    (40158, COMPLETE["call and accept"] | {"status_callback_url": "x"}, {}),
    (40120, {"instruction": "redirect", "call_sid": CALL_SID}, {}),
    (40121, {"instruction": "redirect", "call_sid": "CA1", "url": URL}, {}),
    (40137, COMPLETE["conference"], {"contact_uri": ""}),
    (40138, {"instruction": "conference"}, {}),
    (40139, COMPLETE["conference"] | {"post_work_activity_sid": "WA1"}, {}),
    (14233, COMPLETE["conference"] | {"timeout": 1000}, {}),
    (14233, COMPLETE["conference"] | {"timeout": "a while"}, {}),
    (40142, COMPLETE["conference"], {"attributes": CHAT}),
    (40142, COMPLETE["conference"], {"attributes": json.dumps({"outbound_to": ""})}),
    (40142, COMPLETE["conference"], {"attributes": json.dumps({"call_sid": CALL_SID})}),
]


@pytest.mark.parametrize(("code", "answer", "situation"), INCOMPLETE)
def test_an_incomplete_instruction_is_an_alert_and_nothing_happens(
    driver: WorkspaceDriver, answered: Any, code: int, answer: Any, situation: Any
) -> None:
    task_sid = answered(answer, **situation)
    assert driver.alerts() == [code]
    assert driver.reservation(task_sid).reservation_status == "pending"


@pytest.mark.parametrize(
    ("name", "code"),
    [("call and accept", 40114), ("redirect and accept", 40123), ("dequeue", 40135), ("conference", 40136)],
)
def test_an_instruction_after_the_reservation_was_decided_is_an_alert(
    driver: WorkspaceDriver, receiver: Receiver, name: str, code: int
) -> None:
    def accept_first(received: Any) -> None:
        reservation = driver.workspace.tasks(received.form["TaskSid"]).reservations(received.form["ReservationSid"])
        reservation.update(reservation_status="accepted")

    receiver.before = accept_first
    driver.callbacks(receiver.answer("/assign", COMPLETE[name]))
    driver.worker()
    driver.task(VOICE)
    driver.settle()
    assert driver.alerts() == ["caller_left_in_queue", code]


REST: dict[str, dict[str, Any]] = {
    "dequeue": {"instruction": "dequeue", "dequeue_from": "+14155550199"},
    "conference": {"instruction": "Conference", "from_": "+14155550199", "to": "client:eve"},
    "call": {"instruction": "call", "call_from": "+14155550199", "call_url": URL, "call_accept": True},
    "redirect": {
        "instruction": "redirect",
        "redirect_call_sid": CALL_SID,
        "redirect_url": URL,
        "redirect_accept": True,
    },
}


@pytest.mark.parametrize("parameters", REST.values(), ids=REST)
def test_the_same_instructions_work_over_rest(driver: WorkspaceDriver, parameters: Any) -> None:
    driver.worker()
    task_sid = driver.task(VOICE)
    driver.workspace.tasks(task_sid).reservations(driver.reservation(task_sid).sid).update(**parameters)
    driver.settle()
    assert driver.status(task_sid) == "assigned"
    assert driver.emulator.log.entries("reservation_accepted")[0]["via"] == "rest"
    assert driver.alerts() == []


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        (40132, {"instruction": "dequeue"}),
        (40112, {"instruction": "call", "call_from": "+1"}),
        (40121, {"instruction": "redirect", "redirect_url": URL}),
        (40138, {"instruction": "conference"}),
        (40146, {"instruction": "supervise", "supervisor": "client:lead"}),
        (20001, {"instruction": "supervise", "supervisor_mode": "shout"}),
        (20001, {"instruction": "conference", "from_": "+1", "max_participants": 251}),
        (20001, {"instruction": "conference", "from_": "+1", "status_callback_event": ["answered", "sung"]}),
        (20001, {"instruction": "dequeue", "dequeue_from": "+1", "dequeue_post_work_activity_sid": "WA1"}),
        (40134, {"instruction": "dequeue", "dequeue_from": "+1", "dequeue_status_callback_event": ["sung"]}),
        (20001, {"instruction": "dance"}),
        (20001, {"instruction": "dequeue", "reservation_status": "accepted"}),
    ],
)
def test_over_rest_a_refusal_is_a_400_with_the_same_code(driver: WorkspaceDriver, parameters: Any, code: int) -> None:
    driver.worker()
    task_sid = driver.task(VOICE)
    with pytest.raises(TwilioRestException) as refused:
        driver.workspace.tasks(task_sid).reservations(driver.reservation(task_sid).sid).update(**parameters)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert driver.reservation(task_sid).reservation_status == "pending"


def test_conference_over_rest_on_a_decided_reservation_says_so(driver: WorkspaceDriver) -> None:
    driver.worker()
    task_sid = driver.task(VOICE)
    reservation = driver.workspace.tasks(task_sid).reservations(driver.reservation(task_sid).sid)
    reservation.update(reservation_status="accepted")
    with pytest.raises(TwilioRestException, match="not currently in a Pending state"):
        reservation.update(**REST["conference"])


def test_supervising_needs_an_accepted_reservation_and_an_address(driver: WorkspaceDriver) -> None:
    lead = driver.worker("lead", "Offline", contact_uri="")
    driver.worker()
    task_sid = driver.task(VOICE)
    reservation = driver.workspace.tasks(task_sid).reservations(driver.reservation(task_sid).sid)
    reservation.update(reservation_status="accepted")
    with pytest.raises(TwilioRestException) as refused:
        reservation.update(instruction="supervise", supervisor=lead, supervisor_mode="whisper")
    assert refused.value.code == 40147
    driver.workspace.workers(lead).update(attributes='{"contact_uri":"client:lead"}')
    reservation.update(instruction="supervise", supervisor=lead, supervisor_mode="whisper")
    [entry] = driver.emulator.log.entries("worker_supervised")
    assert (entry["mode"], driver.status(task_sid)) == ("whisper", "assigned")


@pytest.mark.parametrize(("name", "code"), [("dequeue", 40133), ("conference", 40145), ("call and accept", 40113)])
def test_a_leg_that_fails_cancels_the_reservation_instead_of_timing_it_out(
    driver: WorkspaceDriver, answered: Any, name: str, code: int
) -> None:
    driver.emulator.switches.worker_answers = False
    task_sid = answered(COMPLETE[name])
    assert driver.alerts()[0] == code
    first = driver.workspace.tasks(task_sid).reservations.list()[0]
    assert first.reservation_status == "canceled"
    assert driver.kinds("reservation_timeout") == []


@pytest.mark.parametrize(("multi", "ends"), [(True, "wrapping"), (False, "completed")])
def test_when_the_call_ends_the_worker_goes_on_to_post_work(
    driver: WorkspaceDriver, answered: Any, multi: Any, ends: Any
) -> None:
    driver.workspace.update(multi_task_enabled=multi)
    task_sid = answered({"instruction": "dequeue", "post_work_activity_sid": driver.activities["Unavailable"]})
    [task] = [one for space in driver.emulator.state.workspaces.values() for one in space.tasks.values()]
    driver.emulator.state.reservations.hang_up(task)
    assert driver.status(task_sid) == ends
    [worker] = driver.workspace.workers.list()
    assert worker.activity_name == "Unavailable"
