"""A signed request that somebody has read and sends again: it stays a repeat.

Twilio signs names and values without anything between them, so the signature holds wherever a name ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select

from enrich.journal.tables import EntryRow, FollowupRow
from enrich.taskrouter import endpoints
from tests.support.app import post_signed, services_of, sign

Pairs = list[tuple[str, str]]
CALLBACK = {
    "AccountSid": "AC" + "0" * 32,
    "ReservationSid": "WR" + "1" * 32,
    "TaskAttributes": '{"from": "+14155550100"}',
    "TaskSid": "WT" + "1" * 32,
    "WorkerSid": "WK" + "1" * 32,
    "WorkspaceSid": "WS" + "1" * 32,
}
EVENT = CALLBACK | {
    "EventType": "reservation.timeout",
    "ResourceSid": "WR" + "1" * 32,
    "Sid": "EV" + "1" * 32,
    "Timestamp": "1795521600",
}


def resplit(form: dict[str, str]) -> Iterator[Pairs]:
    """Yield forms of the same signed text: each border of a name moved, and each parameter joined to the one before."""
    pairs = sorted(form.items())
    for index, (name, value) in enumerate(pairs):
        for moved in (-3, -1, 1, 3):
            end = len(name) + moved
            text = name + value
            yield [*pairs[:index], (text[:end], text[end:]), *pairs[index + 1 :]]
    for index, ((name, value), (next_name, next_value)) in enumerate(pairwise(pairs)):
        yield [*pairs[:index], (name, value + next_name + next_value), *pairs[index + 2 :]]


def counted(app: Flask) -> tuple[int, int, int]:
    """Return the numbers of entries, of repeats and of follow-ups."""
    database = services_of(app).database
    entries = database.read(select(EntryRow.repeats))
    return len(entries), sum(entry.repeats for entry in entries), len(database.read(select(FollowupRow.id)))


@pytest.mark.parametrize(
    ("path", "form"),
    [(endpoints.EVENTS, EVENT), (endpoints.ASSIGNMENT, CALLBACK), (endpoints.FALLBACK, CALLBACK)],
    ids=["event", "assignment", "fallback"],
)
def test_a_replay_is_a_repeat_whatever_letters_moved_over_the_border_of_name_and_value(
    app: Flask, path: str, form: dict[str, str]
) -> None:
    assert post_signed(app, path, form).status_code in (200, 204)
    entries, _, followups = counted(app)
    signature = sign(path, form)
    statuses = []
    for pairs in resplit(form):
        response = app.test_client().post(
            path,
            data=urlencode(pairs),
            content_type="application/x-www-form-urlencoded",
            headers={"X-Twilio-Signature": signature},
        )
        statuses.append(response.status_code)
    assert {400} < set(statuses) <= {200, 204, 400, 403}
    repeats = sum(status in (200, 204) for status in statuses)
    assert repeats > 10
    assert counted(app) == (entries, repeats, followups)


@pytest.mark.parametrize(
    ("path", "form", "detail"),
    [
        (endpoints.EVENTS, EVENT | {"Sid": ""}, "Sid: missing"),
        (endpoints.EVENTS, EVENT | {"Sid": "EV1"}, "Sid: not a SID"),
        (endpoints.ASSIGNMENT, CALLBACK | {"ReservationSid": "WT" + "1" * 32}, "ReservationSid: not a SID"),
        (endpoints.FALLBACK, CALLBACK | {"TaskSid": ""}, "TaskSid: missing"),
    ],
)
def test_the_refusal_names_what_is_missing(
    app: Flask, caplog: pytest.LogCaptureFixture, path: str, form: dict[str, str], detail: str
) -> None:
    response = post_signed(app, path, form)
    assert (response.status_code, response.text) == (400, f"{detail}\n")
    (line,) = (record.__dict__ for record in caplog.records if record.getMessage() == "refused")
    assert (line["reason"], line["detail"]) == ("malformed_payload", detail)
    metrics = services_of(app).metrics.exposition({}).decode()
    assert 'enrich_refused_total{reason="malformed_payload"} 1.0' in metrics


def test_parameters_that_taskrouter_adds_later_are_no_reason_to_refuse(app: Flask) -> None:
    assert post_signed(app, endpoints.EVENTS, EVENT | {"Something-New 2": "x"}).status_code == 204
    assert post_signed(app, endpoints.ASSIGNMENT, CALLBACK | {"Ünknown": ""}).status_code == 200
