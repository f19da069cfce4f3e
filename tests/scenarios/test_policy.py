"""The policy at work: every instruction through both ways of accepting, and what happens where something is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.contact_centre import ContactCentre, Service, sid

CALL = "CA" + "c" * 32
ADA, NOBODY = "+14155550100", "+12125550199"

POLICY = """
[[rules]]
name = "accept it"
when = 'task.do == "accept"'
instruction = "accept"

[[rules]]
name = "reject it"
when = 'task.do == "reject"'
instruction = "reject"
activity_sid = "{task.activity}"

[[rules]]
name = "dequeue it"
when = 'task.do == "dequeue"'
instruction = "dequeue"
from = "{task.to}"
timeout = 30
record = "record-from-answer"
status_callback_url = "https://calls.example.com/progress?c={customer.id|nobody}"
status_callback_events = ["answered", "completed"]

[[rules]]
name = "call it"
when = 'task.do == "call"'
instruction = "call"
from = "{task.to}"
to = "{worker.contact_uri}"
url = "https://calls.example.com/greet?name={customer.name}"
accept = true

[[rules]]
name = "redirect it"
when = 'task.do == "redirect"'
instruction = "redirect"
call_sid = "{task.call_sid}"
url = "https://calls.example.com/voicemail"
accept = true

[[rules]]
name = "conference it"
when = 'task.do == "conference"'
instruction = "conference"
from = "{task.to}"
end_conference_on_exit = true
beep = "onEnter"
status_callback = "https://calls.example.com/progress"
status_callback_event = ["ringing", "answered"]

[[rules]]
name = "defer it"
when = 'task.do == "defer"'
instruction = "defer"

[[rules]]
name = "gold customers"
when = 'customer.tier == "gold" AND match.trust == "verified"'
instruction = "accept"

[defaults]
chat = "accept"
default = "defer"

[defaults.voice]
instruction = "dequeue"
from = "{task.to}"

[context]
fields = ["name", "tier", "notes"]
drop = ["name", "notes"]
keys = ["from", "form.email:email:claimed"]

[context.projections]
customers.external_id = "{customer.id}"
customers.customer_label_1 = "{customer.tier|none}"
"""

Start = Callable[..., Service]
Open = Callable[..., ContactCentre]


@pytest.fixture(scope="session")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def start(start_service: Start, policy_file: Path) -> Callable[[str], Service]:
    return lambda accept_via: start_service(ENRICH_POLICY=str(policy_file), ENRICH_ACCEPT_VIA=accept_via)


@pytest.fixture
def asked(start: Callable[[str], Service]) -> Service:
    """The service that answers with the instruction."""
    return start("callback")


def attributes_for(instruction: str, centre: ContactCentre) -> dict[str, str]:
    away = next(each.sid for each in centre.workspace.activities.list() if not each.available)
    return {"from": ADA, "to": "+14155550000", "call_sid": CALL, "do": instruction, "activity": away}


def answer_for(instruction: str, attributes: dict[str, str]) -> dict[str, Any]:
    """Return the answer for an instruction when nothing goes over REST."""
    answers: dict[str, dict[str, Any]] = {
        "accept": {"instruction": "accept"},
        "reject": {"instruction": "reject", "activity_sid": attributes["activity"]},
        "dequeue": {
            "instruction": "dequeue",
            "from": "+14155550000",
            "record": "record-from-answer",
            "timeout": 30,
            "status_callback_url": "https://calls.example.com/progress?c=C-1001",
            "status_callback_events": "answered,completed",
        },
        "call": {
            "instruction": "call",
            "to": "client:dana",
            "from": "+14155550000",
            "url": "https://calls.example.com/greet?name=Ada%20Lovelace",
            "accept": True,
        },
        "redirect": {
            "instruction": "redirect",
            "call_sid": CALL,
            "url": "https://calls.example.com/voicemail",
            "accept": True,
        },
        "conference": {
            "instruction": "conference",
            "from": "+14155550000",
            "status_callback": "https://calls.example.com/progress",
            "status_callback_event": "ringing,answered",
            "beep": "onEnter",
            "end_conference_on_exit": True,
        },
        "defer": {},
    }
    return answers[instruction]


DIALS = ("dequeue", "call", "conference")
ACCEPTS = ("accept", "redirect", *DIALS)
ALL = (*ACCEPTS, "reject", "defer")


def seen(centre: ContactCentre, task_sid: str, kind: str) -> dict[str, Any]:
    return dict(centre.emulator.log.wait_for(kind, 10, task_sid=task_sid))


@pytest.mark.parametrize("accept_via", ["callback", "rest"])
@pytest.mark.parametrize("instruction", ALL)
def test_every_instruction_is_carried_out_either_way(
    open_centre: Open, start: Callable[[str], Service], instruction: str, accept_via: str
) -> None:
    service = start(accept_via)
    centre = open_centre(service)
    attributes = attributes_for(instruction, centre)
    task_sid = centre.task_arrives(attributes, channel="voice")
    answer = centre.answer(task_sid)
    by_rest = accept_via == "rest" and instruction != "defer"
    assert answer == ({} if by_rest else answer_for(instruction, attributes))

    if instruction in DIALS:
        dialled = seen(centre, task_sid, "worker_dialled")
        assert (dialled["instruction"], dialled["via"]) == (instruction, accept_via)
    if instruction in ACCEPTS:
        accepted = seen(centre, task_sid, "reservation_accepted")
        named = None if instruction == "accept" and by_rest else instruction  # over REST that is a status
        assert (accepted["instruction"], accepted["via"]) == (named, accept_via)
    if instruction == "reject":
        assert seen(centre, task_sid, "reservation_rejected")["via"] == accept_via
        assert centre.workspace.workers(centre.worker_sid).fetch().activity_sid == attributes["activity"]
    log = centre.log_of(task_sid)
    if instruction == "defer":
        assert not {"reservation_accepted", "worker_dialled", "reservation_rejected"} & set(log)
    if by_rest:
        moved = "reservation_rejected" if instruction == "reject" else "reservation_accepted"
        done = "worker_dialled" if instruction in DIALS else moved
        assert log.index("attributes_written") < log.index(done) < log.index("assignment_callback_answered")
    assert not [entry for entry in centre.emulator.log.entries("alert", task_sid=task_sid) if entry["code"]]
    assert centre.block(task_sid)["customer_id"] == "C-1001"

    (entry,) = service.entries(task_sid=task_sid, kind="assignment")
    assert entry.decision == {"by": "rule", "name": f"{instruction} it", "when": f'task.do == "{instruction}"'}
    assert json.loads(entry.answer) == answer


@pytest.mark.parametrize("instruction", ["accept", "redirect", "dequeue"])
def test_when_rest_refuses_the_instruction_is_the_answer(
    open_centre: Open, start: Callable[[str], Service], instruction: str
) -> None:
    service = start("rest")
    centre = open_centre(service)
    centre.emulator.faults.status(400, path="/Reservations/", method="POST", times=1)
    attributes = attributes_for(instruction, centre)
    task_sid = centre.task_arrives(attributes, channel="voice")
    assert centre.answer(task_sid) == answer_for(instruction, attributes)
    assert seen(centre, task_sid, "reservation_accepted")["via"] == "callback"
    (entry,) = service.entries(task_sid=task_sid, kind="assignment")
    step = "accept" if instruction == "accept" else "instruct"
    assert entry.steps[-1] == entry.steps[-1] | {"name": step, "failed": "request_refused"}


def test_what_dials_somebody_is_asked_for_once(open_centre: Open, start: Callable[[str], Service]) -> None:
    """After a 503 nobody knows whether it was done; what TaskRouter is told in the answer it does once at most."""
    centre = open_centre(start("rest"))
    for instruction, tries in (("call", 1), ("accept", 2)):
        centre.emulator.faults.clear()
        centre.emulator.faults.status(503, path="/Reservations/", method="POST", times=1)
        task_sid = centre.task_arrives(attributes_for(instruction, centre), channel="voice")
        answer = centre.answer(task_sid)
        assert (answer == {}) is (instruction == "accept")
        posts = [
            entry
            for entry in centre.emulator.log.entries("rest_answered")
            if entry["method"] == "POST" and f"/Tasks/{task_sid}/Reservations/" in str(entry["path"])
        ]
        assert len(posts) == tries


def test_a_rule_on_the_customer_needs_somebody_certain(open_centre: Open, asked: Service) -> None:
    """Gold, and the carrier says so: accept. Typed into a chat, or nobody: the channel's default."""
    centre = open_centre(asked)
    gold, claimed, nobody = (
        centre.task_arrives(attributes, channel="default")
        for attributes in (
            {"from": ADA},
            {"channelType": "web", "from": ADA, "form": {"email": "ada@example.com"}},
            {"from": NOBODY},
        )
    )
    assert centre.answer(gold) == {"instruction": "accept"}
    assert centre.answer(claimed) == {"instruction": "accept"}  # of the channel that the attributes tell: chat
    assert centre.answer(nobody) == {}
    told = [asked.entries(task_sid=each, kind="assignment")[0].decision for each in (gold, claimed, nobody)]
    assert [(each["by"], each["name"]) for each in told] == [
        ("rule", "gold customers"),
        ("channel", "chat"),
        ("channel", "default"),
    ]
    assert json.loads(centre.attributes(gold))["customers"] == {"external_id": "C-1001", "customer_label_1": "gold"}
    assert "customers" not in json.loads(centre.attributes(claimed))
    assert "customers" not in json.loads(centre.attributes(nobody))


def test_the_channel_is_what_an_event_has_told(open_centre: Open, asked: Service) -> None:
    """The attributes say nothing of it; task.created did."""
    centre = open_centre(asked, events="task.created")
    first = centre.task_arrives({"from": NOBODY, "to": "+1"}, channel="chat")
    centre.answer(first)
    centre.emulator.log.wait_for("event_answered", 10, task_sid=first)
    form = {
        "WorkspaceSid": centre.workspace_sid,
        "TaskSid": first,
        "ReservationSid": sid("WR"),
        "TaskAttributes": centre.attributes(first),
    }
    assert asked.post("/taskrouter/assignment", form).json() == {"instruction": "accept"}
    entry = asked.entries(task_sid=first, kind="assignment")[-1]
    assert (entry.decision["by"], entry.decision["name"]) == ("channel", "chat")
    assert "channel" in [step["name"] for step in entry.steps]


def test_what_others_keep_among_the_projections_stays(open_centre: Open, asked: Service) -> None:
    centre = open_centre(asked)
    others = f'{{"from":"{ADA}", "customers" : {{ "phone":"+1", "external_id":"evil", "n":1e400 }} , "x":0.10 }}'
    task_sid = centre.task_arrives(others)
    centre.answer(task_sid)
    written = centre.attributes(task_sid)
    assert written.startswith(
        others.replace('"evil"', '"C-1001"').replace("1e400", '1e400,"customer_label_1":"gold"').removesuffix(" }")
        + ',"crm":{"match":"matched"'
    )
    unknown = centre.task_arrives(others.replace(ADA, NOBODY))
    centre.answer(unknown)
    assert centre.attributes(unknown).startswith(f'{{"from":"{NOBODY}", "customers" : {{ "phone":"+1", "n":1e400 }} , ')


def test_the_block_holds_what_the_policy_wants(open_centre: Open, asked: Service) -> None:
    centre = open_centre(asked)
    task_sid = centre.task_arrives({"from": ADA})
    centre.answer(task_sid)
    assert list(centre.block(task_sid)) == ["match", "by", "trust", "customer_id", "name", "tier", "notes"]
    # White space between the tokens goes first: three characters.
    room = 4096 - len(centre.attributes(task_sid)) - len(', "filler": ""')
    crowded = centre.task_arrives({"from": ADA, "filler": "x" * (room + 6)})
    centre.answer(crowded)
    block = centre.block(crowded)
    assert block["trimmed"] is True
    assert "name" not in block  # given up before the notes, as the policy wants
    assert block["notes"] == ["Prefers mornings"]


def test_a_warm_task_is_answered_by_the_policy_without_rest(
    open_centre: Open, asked: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """Block and projections stand there already."""
    centre = open_centre(asked)
    task_sid = centre.task_arrives({"from": ADA, "do": "defer"})
    centre.answer(task_sid)
    form = make_callback(
        WorkspaceSid=centre.workspace_sid, TaskSid=task_sid, TaskAttributes=centre.attributes(task_sid)
    )
    assert asked.post("/taskrouter/assignment", form).json() == {}
    assert centre.log_of(task_sid).count("attributes_written") == 1
    assert [step["name"] for step in asked.entries(task_sid=task_sid)[-1].steps] == ["look_up"]


def test_without_rest_the_policy_decides_all_the_same(open_centre: Open, asked: Service) -> None:
    """The customer is known, and cannot be written: the rules see them, and nothing waits."""
    centre = open_centre(asked)
    centre.emulator.faults.status(500, path="/Tasks/", method="GET", times=1000)
    task_sid = centre.task_arrives({"from": ADA})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    (entry,) = asked.entries(task_sid=task_sid, kind="assignment")
    assert (entry.outcome, entry.decision["name"]) == ("could_not_write", "gold customers")


def test_where_nobody_looks_the_rules_see_nobody(asked: Service, make_callback: Callable[..., dict[str, str]]) -> None:
    """The fallback endpoint asks nobody: rules on the task hold, rules on the customer do not."""
    attributes = {"from": ADA, "do": "dequeue", "call_sid": CALL, "to": "+14155550000"}
    ask = asked.post("/taskrouter/assignment/fallback", make_callback(TaskAttributes=json.dumps(attributes)))
    assert ask.json()["status_callback_url"] == "https://calls.example.com/progress?c=nobody"
    del attributes["do"]
    ask = asked.post("/taskrouter/assignment/fallback", make_callback(TaskAttributes=json.dumps(attributes)))
    assert ask.json() == {"instruction": "dequeue", "from": "+14155550000"}


def test_a_rule_that_cannot_be_carried_out_is_passed_over_and_that_is_kept(
    asked: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    form = make_callback(TaskAttributes=json.dumps({"from": NOBODY, "do": "redirect", "call_sid": "not one"}))
    assert asked.post("/taskrouter/assignment", form).json() == {}
    (entry,) = asked.entries(reservation_sid=form["ReservationSid"])
    assert entry.decision == {
        "by": "channel",
        "name": "default",
        "when": "",
        "passed": [
            {"rule": "redirect it", "reason": "call_sid: must be the SID of a call: CA and 32 hexadecimal digits"},
            {"rule": "default for voice", "reason": "from: task.to is not there"},
        ],
    }
