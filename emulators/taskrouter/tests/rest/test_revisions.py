"""Versions, ETags and conditional requests; attributes as exact text."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import Session
from twilio.base.exceptions import TwilioRestException

from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator.model.attributes import MAX_CHARACTERS, with_member


def etag(response: Any) -> Any:
    return response.headers["ETag"]


def test_a_task_begins_at_version_0_and_every_change_counts_one(driver: WorkspaceDriver) -> None:
    created = driver.workspace.tasks.create_with_http_info(attributes="{}")
    assert (created.status_code, etag(created)) == (201, '"0"')
    task = driver.workspace.tasks(created.data.sid)
    assert etag(task.fetch_with_http_info()) == '"0"'
    assert etag(task.update_with_http_info(attributes='{"a":1}', priority=3)) == '"1"'
    driver.worker()
    assert etag(task.fetch_with_http_info()) == '"2"', "reserved"
    driver.workspace.tasks(created.data.sid).reservations(driver.reservation(created.data.sid).sid).update(
        reservation_status="accepted"
    )
    assert etag(task.fetch_with_http_info()) == '"3"', "assigned"
    assert etag(task.update_with_http_info(assignment_status="wrapping")) == '"4"'
    assert etag(task.update_with_http_info(assignment_status="completed", reason="done")) == '"5"'


@pytest.mark.parametrize("if_match", ["0", '"0"'], ids=["bare", "quoted"])
def test_if_match_is_taken_bare_and_quoted(driver: WorkspaceDriver, if_match: str | None) -> None:
    task = driver.workspace.tasks(driver.task())
    assert etag(task.update_with_http_info(attributes="{}", if_match=if_match)) == '"1"'


@pytest.mark.parametrize("if_match", ["1", '"7"', "*", "abc", ""])
def test_any_other_if_match_is_412_and_changes_nothing(
    driver: WorkspaceDriver, http: Session, if_match: str | None
) -> None:
    task = driver.workspace.tasks(driver.task('{"a":1}')).fetch()
    answer = http.post(task.url, data={"Attributes": "{}", "Priority": "9"}, headers={"If-Match": if_match})
    assert (answer.status_code, answer.json()["code"]) == (412, 20412)
    unchanged = driver.workspace.tasks(task.sid).fetch_with_http_info()
    assert (etag(unchanged), unchanged.data.attributes, unchanged.data.priority) == ('"0"', '{"a":1}', 0)


def test_reservations_have_versions_too(driver: WorkspaceDriver) -> None:
    driver.worker()
    task_sid = driver.task()
    sid = driver.reservation(task_sid).sid
    reservation = driver.workspace.tasks(task_sid).reservations(sid)
    with pytest.raises(TwilioRestException) as stale:
        reservation.update(reservation_status="accepted", if_match="5")
    assert stale.value.code == 20412
    assert etag(reservation.update_with_http_info(reservation_status="accepted", if_match='"0"')) == '"1"'


def test_a_conditional_delete_of_a_stale_task_is_412(driver: WorkspaceDriver, http: Session) -> None:
    """The SDK drops If-Match on delete, so plain requests do it."""
    task = driver.workspace.tasks(driver.task()).fetch()
    assert http.delete(task.url, headers={"If-Match": "4"}).status_code == 412
    assert http.delete(task.url, headers={"If-Match": "0"}).status_code == 204
    assert http.get(task.url).status_code == 404


def test_of_writers_with_the_same_etag_exactly_one_wins_each_round(driver: WorkspaceDriver, http: Session) -> None:
    task = driver.workspace.tasks(driver.task("{}")).fetch()
    rounds, writers = 5, 8
    barrier = threading.Barrier(writers)

    def write(writer: Any) -> Any:
        wins = 0
        for version in range(rounds):
            barrier.wait()
            data = {"Attributes": json.dumps({"round": version, "by": writer})}
            wins += http.post(task.url, data=data, headers={"If-Match": str(version)}).status_code == 200
            barrier.wait()
        return wins

    with ThreadPoolExecutor(writers) as pool:
        assert sum(pool.map(write, range(writers))) == rounds
    assert driver.emulator.log.last == len(driver.emulator.log.entries())
    assert len(driver.emulator.log.entries("attributes_written")) == rounds


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
def test_attributes_come_back_to_the_letter(driver: WorkspaceDriver, text: str) -> None:
    task_sid = driver.task(text)
    assert driver.workspace.tasks(task_sid).fetch().attributes == text
    assert driver.workspace.tasks(task_sid).update(attributes="{}").attributes == "{}"
    assert driver.workspace.tasks(task_sid).update(attributes=text).attributes == text
    assert driver.workspace.tasks.list()[0].attributes == text


def test_attributes_end_at_4096_characters(driver: WorkspaceDriver) -> None:
    longest = json.dumps({"é": "é" * (MAX_CHARACTERS - 9)}, ensure_ascii=False)
    assert len(longest) == MAX_CHARACTERS
    task_sid = driver.task(longest)
    assert driver.workspace.tasks(task_sid).fetch().attributes == longest
    with pytest.raises(TwilioRestException) as refused:
        driver.workspace.tasks(task_sid).update(attributes=longest + " ")
    assert (refused.value.status, refused.value.code) == (400, 20001)


@pytest.mark.parametrize("text", ["", "{", "{'a':1}", '{"a":NaN}', "[" * 4000, '{"a":1}}'])
def test_attributes_that_are_not_json_are_refused_unless_lax(driver: WorkspaceDriver, text: str) -> None:
    with pytest.raises(TwilioRestException) as refused:
        driver.task(text)
    assert (refused.value.status, refused.value.code) == (400, 20001)
    driver.emulator.switches.lax_attributes = True
    assert driver.workspace.tasks(driver.task(text)).fetch().attributes == text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), _JSON, max_size=4), st.text(), st.sampled_from([None, 1]), st.booleans())
def test_a_member_is_set_and_everything_else_stays(
    attributes: Any, key: str, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(attributes, indent=indent, ensure_ascii=ascii_only)
    changed = with_member(text, key, "new")
    assert json.loads(changed) == attributes | {key: "new"}
    assert list(json.loads(changed)) == list(attributes | {key: "new"})
    if key not in attributes:
        start = changed.index(json.dumps(key) + ':"new"')
        assert changed[:start].rstrip(",") + changed[start:].removeprefix(json.dumps(key) + ':"new"') == text
