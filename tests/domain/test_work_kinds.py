"""The kind of work that a task is, told from attributes of every kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.domain.work_kinds import CALL_ATTRIBUTES, CONVERSATION_SIDS, FLEX_SIDS, WorkKind, work_in_text, work_of
from enrich.taskrouter.callbacks import task_channel

CALL, TO = "CA" + "c" * 32, "+14155550151"
BLANK: list[Any] = [None, "", "  ", False, [], {}]


@pytest.mark.parametrize(
    ("attributes", "kind", "is_outbound"),
    [
        ({"call_sid": CALL, "direction": "inbound"}, WorkKind.CALL, False),
        ({"call_sid": CALL, "direction": "outbound-api"}, WorkKind.CALL, True),
        ({"outbound_to": TO}, WorkKind.CALL, True),
        ({"outbound_to": 14155550151}, WorkKind.CALL, True),
        ({"outbound_to": "sip:nora@example.com", "direction": "inbound"}, WorkKind.CALL, True),
        ({"call_sid": CALL, "outbound_to": TO, "direction": "OUTBOUND"}, WorkKind.CALL, True),
        ({"flexInteractionSid": "KD1"}, WorkKind.FLEX, False),
        ({"flexInteractionChannelSid": "UO1", "direction": " Outbound"}, WorkKind.FLEX, True),
        ({"flexChannelInviteSid": "KG1", "conversationSid": "CH1"}, WorkKind.FLEX, False),
        ({"flexInteractionSid": "KD1", "call_sid": CALL}, WorkKind.FLEX, False),
        ({"flexInteractionSid": "KD1", "channelType": "email"}, WorkKind.FLEX, False),
        ({"conversationSid": "CH1", "channelType": "sms"}, WorkKind.CONVERSATION, False),
        ({"channelSid": "CH1"}, WorkKind.CONVERSATION, False),
        ({"channelType": "E-Mail"}, WorkKind.EMAIL, False),
        ({"channelType": "sms", "direction": "outbound"}, WorkKind.OTHER, True),
        ({"taskType": "callback", "to": TO, "direction": "inbound"}, WorkKind.OTHER, False),
        ({"direction": ["outbound"], "channelType": 7}, WorkKind.OTHER, False),
        ({}, WorkKind.OTHER, False),
    ],
    ids=str,
)
def test_attributes_tell_the_kind_of_work(attributes: dict[str, Any], kind: WorkKind, *, is_outbound: bool) -> None:
    work = work_of(attributes)
    assert (work.kind, work.is_outbound) == (kind, is_outbound)


@pytest.mark.parametrize("name", [*CALL_ATTRIBUTES, *FLEX_SIDS, *CONVERSATION_SIDS])
@pytest.mark.parametrize("value", BLANK, ids=repr)
def test_a_blank_attribute_says_nothing(name: str, value: object) -> None:
    assert work_of({name: value}) == work_of({})


@pytest.mark.parametrize("name", [*CALL_ATTRIBUTES, *FLEX_SIDS])
def test_unreadable_attributes_are_bound_if_they_name_what_binds(name: str) -> None:
    assert work_in_text(f'{{"{name}":"x"').is_bound
    assert not work_in_text('{"from":"x"').is_bound


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from([*BLANK, "x", TO]) for name in CALL_ATTRIBUTES}))
def test_the_channel_read_from_the_text_agrees_with_the_attributes(attributes: dict[str, Any]) -> None:
    channel = task_channel({"TaskAttributes": json.dumps(attributes)})
    assert channel == ("voice" if work_of(attributes).is_call else "")
