"""Versions, ETags and conditional requests; attributes as exact text."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioRestException

from taskrouter_emulator.model.attributes import MAX_CHARACTERS, with_member


def etag(response):
    return response.headers["ETag"]


def test_a_task_begins_at_version_0_and_every_change_counts_one(desk):
    created = desk.workspace.tasks.create_with_http_info(attributes="{}")
    assert (created.status_code, etag(created)) == (201, '"0"')
    task = desk.workspace.tasks(created.data.sid)
    assert etag(task.fetch_with_http_info()) == '"0"'
    assert etag(task.update_with_http_info(attributes='{"a":1}', priority=3)) == '"1"'
    desk.worker()
    assert etag(task.fetch_with_http_info()) == '"2"', "reserved"
    desk.workspace.tasks(created.data.sid).reservations(desk.reservation(created.data.sid).sid).update(
        reservation_status="accepted"
    )
    assert etag(task.fetch_with_http_info()) == '"3"', "assigned"
    assert etag(task.update_with_http_info(assignment_status="wrapping")) == '"4"'
    assert etag(task.update_with_http_info(assignment_status="completed", reason="done")) == '"5"'


@pytest.mark.parametrize("if_match", ["0", '"0"'], ids=["bare", "quoted"])
def test_if_match_is_taken_bare_and_quoted(desk, if_match):
    task = desk.workspace.tasks(desk.task())
    assert etag(task.update_with_http_info(attributes="{}", if_match=if_match)) == '"1"'


@pytest.mark.parametrize("if_match", ["1", '"7"', "*", "abc", ""])
def test_any_other_if_match_is_412_and_changes_nothing(desk, http, if_match):
    task = desk.workspace.tasks(desk.task('{"a":1}')).fetch()
    answer = http.post(task.url, data={"Attributes": "{}", "Priority": "9"}, headers={"If-Match": if_match})
    assert (answer.status_code, answer.json()["code"]) == (412, 20412)
    unchanged = desk.workspace.tasks(task.sid).fetch_with_http_info()
    assert (etag(unchanged), unchanged.data.attributes, unchanged.data.priority) == ('"0"', '{"a":1}', 0)


def test_reservations_have_versions_too(desk):
    desk.worker()
    task_sid = desk.task()
    sid = desk.reservation(task_sid).sid
    reservation = desk.workspace.tasks(task_sid).reservations(sid)
    with pytest.raises(TwilioRestException) as stale:
        reservation.update(reservation_status="accepted", if_match="5")
    assert stale.value.code == 20412
    assert etag(reservation.update_with_http_info(reservation_status="accepted", if_match='"0"')) == '"1"'


def test_a_conditional_delete_of_a_stale_task_is_412(desk, http):
    """The SDK drops If-Match on delete, so plain requests do it."""
    task = desk.workspace.tasks(desk.task()).fetch()
    assert http.delete(task.url, headers={"If-Match": "4"}).status_code == 412
    assert http.delete(task.url, headers={"If-Match": "0"}).status_code == 204
    assert http.get(task.url).status_code == 404


def test_of_writers_with_the_same_etag_exactly_one_wins_each_round(desk, http):
    task = desk.workspace.tasks(desk.task("{}")).fetch()
    rounds, writers = 5, 8
    barrier = threading.Barrier(writers)

    def write(writer):
        wins = 0
        for version in range(rounds):
            barrier.wait()
            data = {"Attributes": json.dumps({"round": version, "by": writer})}
            wins += http.post(task.url, data=data, headers={"If-Match": str(version)}).status_code == 200
            barrier.wait()
        return wins

    with ThreadPoolExecutor(writers) as pool:
        assert sum(pool.map(write, range(writers))) == rounds
    assert desk.emulator.log.last == len(desk.emulator.log.entries())
    assert len(desk.emulator.log.entries("attributes_written")) == rounds


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1.000000000000000000001,\n\t"b":1e400}',
        '{"twice":1,"twice":2}',
        '{"half":"\\ud83d","whole":"\\ud83d\\ude00","raw":"😀 ünï"}',
        '{"big":123456789012345678901234567890,"null":{"null":null}}',
        ' {"slash":"\\/","plus":"a+b&c=d%20"} ',
        '"just text"',
    ],
)
def test_attributes_come_back_to_the_letter(desk, text):
    task_sid = desk.task(text)
    assert desk.workspace.tasks(task_sid).fetch().attributes == text
    assert desk.workspace.tasks(task_sid).update(attributes="{}").attributes == "{}"
    assert desk.workspace.tasks(task_sid).update(attributes=text).attributes == text
    assert desk.workspace.tasks.list()[0].attributes == text


def test_attributes_end_at_4096_characters(desk):
    longest = json.dumps({"é": "é" * (MAX_CHARACTERS - 9)}, ensure_ascii=False)
    assert len(longest) == MAX_CHARACTERS
    task_sid = desk.task(longest)
    assert desk.workspace.tasks(task_sid).fetch().attributes == longest
    with pytest.raises(TwilioRestException) as refused:
        desk.workspace.tasks(task_sid).update(attributes=longest + " ")
    assert (refused.value.status, refused.value.code) == (400, 20001)


@pytest.mark.parametrize("text", ["", "{", "{'a':1}", '{"a":NaN}', "[" * 4000, '{"a":1}}'])
def test_attributes_that_are_not_json_are_refused_unless_lax(desk, text):
    with pytest.raises(TwilioRestException) as refused:
        desk.task(text)
    assert (refused.value.status, refused.value.code) == (400, 20001)
    desk.emulator.switches.lax_attributes = True
    assert desk.workspace.tasks(desk.task(text)).fetch().attributes == text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), _JSON, max_size=4), st.text(), st.sampled_from([None, 1]), st.booleans())
def test_a_member_is_set_and_everything_else_stays(attributes, key, indent, ascii_only):
    text = json.dumps(attributes, indent=indent, ensure_ascii=ascii_only)
    changed = with_member(text, key, "new")
    assert json.loads(changed) == attributes | {key: "new"}
    assert list(json.loads(changed)) == list(attributes | {key: "new"})
    if key not in attributes:
        start = changed.index(json.dumps(key) + ':"new"')
        assert changed[:start].rstrip(",") + changed[start:].removeprefix(json.dumps(key) + ':"new"') == text
