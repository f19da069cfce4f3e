"""What counts as an assignment callback."""

from __future__ import annotations

import pytest

from enrich.errors import MalformedPayload
from enrich.webhooks.payloads import parse_assignment, sid_or_none, task_channel, worker_name

GOOD = {"WorkspaceSid": "WS" + "1" * 32, "TaskSid": "WT" + "4" * 32, "ReservationSid": "WR" + "5" * 32}


def test_the_three_sids_make_a_callback() -> None:
    callback = parse_assignment(GOOD | {"TaskAttributes": "anything", "Unknown": "ignored"})
    assert (callback.task_sid, callback.raw_task_attributes) == (GOOD["TaskSid"], "anything")


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("value", "told"),
    [("", "missing"), ("WX" + "1" * 32, "not a SID"), ("../Workers", "not a SID"), ("WT1", "not a SID")],
)
def test_a_sid_that_is_none_is_named(name: str, value: str, told: str) -> None:
    with pytest.raises(MalformedPayload, match=f"^{name}: {told}$"):
        parse_assignment(GOOD | {name: value})


def test_a_trailing_newline_is_not_a_sid() -> None:
    assert sid_or_none({"TaskSid": GOOD["TaskSid"] + "\n"}, "TaskSid", "WT") is None


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({"WorkerName": "dana"}, "dana"),
        ({"WorkerAttributes": '{"full_name":"Dana Scully","contact_uri":"client:d"}'}, "Dana Scully"),
        ({"WorkerAttributes": '{"contact_uri":"client:dana"}'}, "dana"),
        ({"WorkerAttributes": '{"name":["no"],"contact_uri":7}'}, ""),
        ({"WorkerAttributes": "{'single': 'quotes'}"}, ""),
        ({"WorkerAttributes": "[]"}, ""),
        ({}, ""),
        ({"WorkerName": "x" * 500}, "x" * 120),
    ],
)
def test_a_worker_is_called_by_what_there_is(form: dict[str, str], name: str) -> None:
    assert worker_name(form) == name


@pytest.mark.parametrize(
    ("form", "channel"),
    [
        ({"TaskAttributes": '{"channelType" : "WhatsApp"}', "TaskChannelUniqueName": "chat"}, "whatsapp"),
        ({"TaskAttributes": '{"call_sid":"CA1"}', "TaskChannelUniqueName": "voice"}, "voice"),
        ({"TaskAttributes": '{"call_sid":"CA1"}'}, "voice"),
        ({"TaskAttributes": "{}"}, ""),
        ({"TaskAttributes": '{"channelType": 7}'}, ""),
        ({"TaskAttributes": '{"channelType": "' + "x" * 5000}, ""),
        ({}, ""),
    ],
    ids=["its own word", "of an event", "a call", "nothing", "no text", "endless", "no attributes"],
)
def test_the_channel_is_what_the_attributes_say(form: dict[str, str], channel: str) -> None:
    assert task_channel(form) == channel
