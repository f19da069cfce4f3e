"""Every instruction, as an answer and over REST; and which is given by default."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import twilio.rest.taskrouter.v1.workspace.task.reservation as sdk

from enrich.taskrouter.attributes import parse_or_none
from enrich.taskrouter.instructions import (
    ACCEPT,
    DEFER,
    DEQUEUE,
    TABLE,
    Instruction,
    build,
    default_instruction,
    is_repeatable,
    lacking,
    rest_form,
    to_json,
)

CALL = '{"call_sid":"CA1"}'
FLEX = '{"flexInteractionSid":"KD1"}'
OUTBOUND = '{"from":"client:dana","outbound_to":"+14155550100"}'
OTHER = '{"from":"+14155550100","call_sid":null}'

ACTIVITY = "WA" + "a" * 32
CALL_SID = "CA" + "c" * 32


@pytest.mark.parametrize(
    ("name", "attributes", "instruction"),
    [
        ("accept", CALL, ACCEPT),
        ("accept", OTHER, ACCEPT),
        ("defer", OTHER, DEFER),
        ("dequeue", CALL, DEQUEUE),
        pytest.param("dequeue", OTHER, ACCEPT, id="dequeue-is-for-calls-alone"),
        pytest.param("auto", CALL, DEFER, id="accept-would-leave-the-caller-in-hold-music"),
        pytest.param("auto", FLEX, DEFER, id="flex-sets-the-work-up-itself"),
        pytest.param("auto", OUTBOUND, DEFER, id="after-an-accept-nobody-is-called"),
        pytest.param("dequeue", OUTBOUND, DEFER, id="there-is-no-call-to-dequeue-yet"),
        pytest.param("dequeue", FLEX, DEFER, id="flex-does-not-want-its-work-accepted"),
        pytest.param("auto", '{"flexChannelInviteSid":"KG1"}', DEFER, id="flex-without-its-first-sid"),
        pytest.param("auto", '{"outbound_to":"+1"', DEFER, id="unreadable-but-plainly-to-be-called"),
        ("auto", OTHER, ACCEPT),
        ("auto", "{}", ACCEPT),
        ("auto", "", ACCEPT),
        ("auto", "[1,2]", ACCEPT),
        pytest.param("auto", '{"call_sid":"CA1"', DEFER, id="unreadable-but-plainly-a-call"),
        pytest.param("auto", "{" * 5000, ACCEPT, id="unreadable"),
    ],
)
def test_the_default_does_no_harm(name: str, attributes: str, instruction: Instruction) -> None:
    assert default_instruction(name, parse_or_none(attributes), attributes) == instruction


def test_no_instruction_is_an_empty_object() -> None:
    assert to_json(DEFER) == "{}"


# --- each instruction in both forms

BOTH_FORMS = [
    pytest.param("defer", {}, {}, None, id="defer"),
    pytest.param("accept", {}, {"instruction": "accept"}, [("ReservationStatus", "accepted")], id="accept"),
    pytest.param(
        "reject",
        {"activity_sid": ACTIVITY},
        {"instruction": "reject", "activity_sid": ACTIVITY},
        [("ReservationStatus", "rejected"), ("WorkerActivitySid", ACTIVITY)],
        id="reject",
    ),
    pytest.param("dequeue", {}, {"instruction": "dequeue"}, None, id="dequeue-without-from-has-no-rest-form"),
    pytest.param(
        "dequeue",
        {
            "to": "client:dana",
            "from": "+14155550000",
            "post_work_activity_sid": ACTIVITY,
            "record": "record-from-answer",
            "timeout": 30,
            "status_callback_url": "https://calls.example.com/progress",
            "status_callback_events": ["answered", "completed"],
        },
        {
            "instruction": "dequeue",
            "to": "client:dana",
            "from": "+14155550000",
            "post_work_activity_sid": ACTIVITY,
            "record": "record-from-answer",
            "timeout": 30,
            "status_callback_url": "https://calls.example.com/progress",
            "status_callback_events": "answered,completed",
        },
        [
            ("Instruction", "dequeue"),
            ("DequeueTo", "client:dana"),
            ("DequeueFrom", "+14155550000"),
            ("DequeuePostWorkActivitySid", ACTIVITY),
            ("DequeueRecord", "record-from-answer"),
            ("DequeueTimeout", "30"),
            ("DequeueStatusCallbackUrl", "https://calls.example.com/progress"),
            ("DequeueStatusCallbackEvent", "answered"),
            ("DequeueStatusCallbackEvent", "completed"),
        ],
        id="dequeue",
    ),
    pytest.param(
        "call",
        {"from": "+14155550000", "url": "https://calls.example.com/greet", "accept": True, "timeout": "20"},
        {
            "instruction": "call",
            "from": "+14155550000",
            "url": "https://calls.example.com/greet",
            "accept": True,
            "timeout": 20,
        },
        [
            ("Instruction", "call"),
            ("CallFrom", "+14155550000"),
            ("CallUrl", "https://calls.example.com/greet"),
            ("CallAccept", "true"),
            ("CallTimeout", "20"),
        ],
        id="call",
    ),
    pytest.param(
        "redirect",
        {"call_sid": CALL_SID, "url": "https://calls.example.com/voicemail", "accept": "false"},
        {
            "instruction": "redirect",
            "call_sid": CALL_SID,
            "url": "https://calls.example.com/voicemail",
            "accept": False,
        },
        [
            ("Instruction", "redirect"),
            ("RedirectCallSid", CALL_SID),
            ("RedirectUrl", "https://calls.example.com/voicemail"),
            ("RedirectAccept", "false"),
        ],
        id="redirect",
    ),
    pytest.param(
        "conference",
        {
            "from": "+14155550000",
            "beep": "onenter",
            "muted": False,
            "max_participants": 250,
            "status_callback_event": ["ringing"],
            "conference_status_callback_event": ["join", "leave"],
        },
        {
            "instruction": "conference",
            "from": "+14155550000",
            "status_callback_event": "ringing",
            "muted": False,
            "beep": "onEnter",
            "max_participants": 250,
            "conference_status_callback_event": "join,leave",
        },
        [
            ("Instruction", "conference"),
            ("From", "+14155550000"),
            ("StatusCallbackEvent", "ringing"),
            ("Muted", "false"),
            ("Beep", "onEnter"),
            ("MaxParticipants", "250"),
            ("ConferenceStatusCallbackEvent", "join"),
            ("ConferenceStatusCallbackEvent", "leave"),
        ],
        id="conference",
    ),
    pytest.param(
        "conference",
        {"from": "+14155550000", "room_name": "desk"},
        {"instruction": "conference", "from": "+14155550000", "room_name": "desk"},
        None,
        id="a-room-of-ones-own-exists-in-an-answer-only",
    ),
]


@pytest.mark.parametrize(("name", "values", "answer", "form"), BOTH_FORMS)
def test_an_instruction_is_right_in_both_forms(
    name: str, values: dict[str, Any], answer: dict[str, Any], form: list[tuple[str, str]] | None
) -> None:
    instruction = build(name, values)
    assert instruction == answer
    assert list(instruction) == list(answer)
    found = rest_form(instruction)
    assert (list(found) if found else None) == form


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("reject", {}, "activity_sid: missing"),
        ("reject", {"activity_sid": ""}, "activity_sid: missing"),
        ("reject", {"activity_sid": "WA1"}, "activity_sid: must be the SID of an activity"),
        ("reject", {"activity_sid": CALL_SID}, "activity_sid: must be the SID of an activity"),
        ("accept", {"to": "x"}, "to: accept has no such parameter"),
        ("dequeue", {"timeout": 1000}, "timeout: 1000 is outside 1 to 999"),
        ("dequeue", {"timeout": 0}, "timeout: 0 is outside"),
        ("dequeue", {"timeout": "soon"}, "timeout: must be a whole number"),
        ("dequeue", {"timeout": True}, "timeout: must be a whole number"),
        ("dequeue", {"timeout": "٣"}, "timeout: must be a whole number"),
        ("dequeue", {"to": "sip:dana@example.com", "timeout": 601}, "timeout: 601 is outside 1 to 600"),
        ("dequeue", {"record": "always"}, "record: must be do-not-record or record-from-answer"),
        ("dequeue", {"status_callback_events": ["hung-up"]}, "'hung-up' is none of initiated"),
        ("dequeue", {"status_callback_events": []}, "must be a list"),
        ("dequeue", {"to": "client:dana\r\nx"}, "to: must be text of one line"),
        ("dequeue", {"to": "x" * 2001}, "to: must be text"),
        ("call", {"from": "+14155550000"}, "url: missing"),
        ("call", {"url": "https://a.example"}, "from: missing"),
        ("call", {"from": "+14155550000", "url": "/greet"}, "url: must be an http"),
        ("call", {"from": "+14155550000", "url": "javascript:alert(1)"}, "url: must be an http"),
        ("call", {"from": "+14155550000", "url": "https://[a"}, "url: must be an http"),
        (
            "call",
            {"from": "+1", "url": "https://a.example", "accept": "yes"},
            "accept: must be true or false",
        ),
        ("redirect", {"url": "https://a.example"}, "call_sid: missing"),
        ("redirect", {"call_sid": "CA1", "url": "https://a.example"}, "call_sid: must be the SID of a call"),
        ("conference", {}, "from: missing"),
        ("conference", {"from": "a", "max_participants": 1}, "max_participants: 1 is outside 2 to 250"),
        ("conference", {"from": "a", "beep": "loud"}, "beep: must be true, false, onEnter or onExit"),
    ],
)
def test_what_taskrouter_would_refuse_is_never_built(name: str, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        build(name, values)


@pytest.mark.parametrize(
    ("instruction", "task", "worker", "told"),
    [
        ({"instruction": "accept"}, {}, {}, ""),
        ({}, {}, {}, ""),
        ({"instruction": "dequeue"}, {"call_sid": "CA1"}, {"contact_uri": "client:dana"}, ""),
        ({"instruction": "dequeue", "to": "client:x"}, {"call_sid": "CA1"}, {}, ""),
        ({"instruction": "dequeue"}, {}, {"contact_uri": "client:dana"}, "no call_sid"),
        ({"instruction": "dequeue"}, {"call_sid": "CA1"}, {}, "no contact_uri"),
        (
            {"instruction": "dequeue", "timeout": 700},
            {"call_sid": "CA1"},
            {"contact_uri": "sip:a@b"},
            "outside 1 to 600",
        ),
        ({"instruction": "call"}, {}, {}, "no contact_uri"),
        ({"instruction": "conference", "to": "x"}, {"call_sid": "CA1"}, {}, "needs to or outbound_to"),
        ({"instruction": "conference", "to": "x"}, {"call_sid": "CA1", "outbound_to": "+1"}, {}, ""),
        ({"instruction": "conference"}, {"outbound_to": "+1"}, {"contact_uri": "client:dana"}, ""),
        ({"instruction": "conference"}, {"outbound_to": "+1"}, {}, "no contact_uri"),
        ({"instruction": "conference", "to": "x"}, {"to": "+1"}, {}, "neither call_sid nor outbound_to"),
        ({"instruction": "dequeue"}, {"outbound_to": "+1"}, {"contact_uri": "client:dana"}, "no call_sid"),
    ],
)
def test_what_would_be_refused_for_this_task_is_told(
    instruction: Instruction, task: dict[str, Any], worker: dict[str, Any], told: str
) -> None:
    assert (told in lacking(instruction, task, worker)) if told else not lacking(instruction, task, worker)


def test_every_rest_parameter_is_one_that_the_official_sdk_sends() -> None:
    sent = set(re.findall(r'^ +"([A-Z][A-Za-z]+)": ', inspect.getsource(sdk.ReservationContext), re.MULTILINE))
    ours = {parameter.rest for parameters in TABLE.values() for parameter in parameters.values() if parameter.rest}
    assert ours <= sent
    # `supervise` is for reservations that are accepted already; the other two say what the rest is.
    assert sent - ours == {"Supervisor", "SupervisorMode", "ReservationStatus", "Instruction"}


def test_what_dials_somebody_is_not_sent_twice_for_certainty() -> None:
    assert [name for name in TABLE if is_repeatable({"instruction": name})] == ["accept", "reject", "redirect"]
