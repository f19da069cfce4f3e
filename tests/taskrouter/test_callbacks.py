"""Assignment callbacks: the forms that count as one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from enrich.domain.outcomes import EntryKind
from enrich.errors import MalformedPayload
from enrich.taskrouter.callbacks import (
    assignment_callback,
    require_sids,
    sid_or_none,
    split_form,
    task_channel,
    worker_name,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
GOOD = {"WorkspaceSid": "WS" + "1" * 32, "TaskSid": "WT" + "4" * 32, "ReservationSid": "WR" + "5" * 32}


def test_the_three_sids_make_a_callback() -> None:
    form = GOOD | {"TaskAttributes": "anything", "Unknown": "ignored"}
    require_sids(form)
    callback = assignment_callback(EntryKind.ASSIGNMENT, form, b"", NOON)
    assert (callback.delivery.task_sid, callback.raw_attributes) == (GOOD["TaskSid"], "anything")
    assert (callback.delivery.delivery_key, callback.attributes) == (GOOD["ReservationSid"], None)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("value", "told"),
    [("", "missing"), ("WX" + "1" * 32, "not a SID"), ("../Workers", "not a SID"), ("WT1", "not a SID")],
)
def test_a_sid_that_is_none_is_named(name: str, value: str, told: str) -> None:
    with pytest.raises(MalformedPayload, match=f"^{name}: {told}$"):
        require_sids(GOOD | {name: value})


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
        ({"TaskAttributes": '{"outbound_to": "+1"}'}, "voice"),
        ({"TaskAttributes": '{"call_sid": null, "outbound_to": ""}'}, ""),
        ({"TaskAttributes": "{}"}, ""),
        ({"TaskAttributes": '{"channelType": 7}'}, ""),
        ({"TaskAttributes": '{"channelType": "' + "x" * 5000}, ""),
        ({}, ""),
    ],
    ids=[
        "its own word",
        "of an event",
        "a call",
        "a call to be made",
        "no call",
        "nothing",
        "no text",
        "endless",
        "no attributes",
    ],
)
def test_the_channel_is_what_the_attributes_say(form: dict[str, str], channel: str) -> None:
    assert task_channel(form) == channel


# Everything that means something in a form, and bytes that mean nothing.
PIECES = st.sampled_from(
    [b"&", b"=", b"+", b";", b"%", b"%3D", b"%3d", b"%26", b"%2B", b"%00", b"%ff", b"%GG", b"a", b"\r", b"\n"]
)


def well_quoted(text: bytes) -> bytes:
    """Return the text without the percent signs that quote nothing."""
    return re.sub(rb"%(?![0-9a-fA-F]{2})", b"", text)


@given(st.lists(PIECES | st.binary(max_size=4)).map(b"".join))
def test_a_form_is_split_as_the_standard_library_splits_text(body: bytes) -> None:
    body = well_quoted(well_quoted(body))
    assume(well_quoted(body) == body)
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    assert split_form(body) == [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


@given(st.lists(PIECES | st.binary(max_size=4)).map(b"".join))
def test_whatever_was_quoted_is_unquoted_as_the_standard_library_does(text: bytes) -> None:
    text = text.replace(b"&", b"").replace(b"+", b"")
    is_quoted = well_quoted(text) == text
    assert split_form(b"name=" + text) == [(b"name", unquote_to_bytes(text) if is_quoted else text)]
