"""Load shedding: callbacks turned away before Flask is asked, and still verified, recorded and answered."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select

from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.flows.assignment import AssignmentHandler
from enrich.journal.tables import EntryRow
from enrich.resilience.admission import Admission
from enrich.services import Services
from enrich.taskrouter.endpoints import ASSIGNMENT
from enrich.webhooks.intake import IN_FLIGHT
from enrich.webhooks.load_shedding import LoadShedding
from tests.support.app import services_of, sign

FORM = {
    "WorkspaceSid": "WS" + "1" * 32,
    "TaskSid": "WT" + "1" * 32,
    "ReservationSid": "WR" + "1" * 32,
    "TaskAttributes": '{"from":"+14155550100"}',
}


class Behind:
    """The application behind: remembers what it was asked, and says so."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def __call__(self, environ: dict[str, object], start_response: object) -> Iterable[bytes]:
        self.asked.append(environ.get(IN_FLIGHT))
        return [b"behind"]


@pytest.fixture
def services(app: Flask) -> Services:
    return services_of(app)


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def full(services: Services, behind: Behind) -> LoadShedding:
    """A process that works on as many as it may."""
    while not services.admission.refused(0.0):
        pass
    return LoadShedding(behind, services)


def ask(
    shedding: LoadShedding, form: dict[str, str], environ: dict[str, str] | None = None, *, signed: bool = True
) -> tuple[str, str]:
    """The status and the body of the answer; the application's own has the status ""."""
    body = urlencode(form).encode()
    signature = sign(ASSIGNMENT, form)
    told = [""]
    answer = shedding(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": ASSIGNMENT,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "HTTP_X_TWILIO_SIGNATURE": signature if signed else "wrong",
            **(environ or {}),
        },
        lambda status, _headers: told.append(status),  # type: ignore[arg-type]
    )
    return told[-1], b"".join(answer).decode()


def test_what_may_be_worked_on_goes_through_and_is_counted(services: Services, behind: Behind) -> None:
    shedding = LoadShedding(behind, services)
    assert ask(shedding, FORM) == ("", "behind")
    assert ask(shedding, FORM) == ("", "behind")
    assert behind.asked == [1, 1]  # the first has left


def test_what_is_too_much_is_recorded_and_gets_the_default(
    services: Services, full: LoadShedding, behind: Behind
) -> None:
    assert ask(full, FORM) == ("200 OK", '{"instruction":"accept"}')
    assert behind.asked == []
    (row,) = services.database.read(select(EntryRow.__table__))
    assert (row.reservation_sid, row.reason, row.answer) == (
        FORM["ReservationSid"],
        "overload",
        '{"instruction":"accept"}',
    )
    assert row.concluded_at is None  # the worker finds it


def test_a_repeat_gets_the_stored_answer(services: Services, full: LoadShedding) -> None:
    ask(full, FORM)
    call = FORM | {"TaskAttributes": '{"call_sid":"CA1"}'}  # by itself this would be deferred
    assert ask(full, call) == ("200 OK", '{"instruction":"accept"}')
    (row,) = services.database.read(select(EntryRow.repeats))
    assert row.repeats == 1


def test_nobody_gets_in_without_a_signature(services: Services, full: LoadShedding) -> None:
    assert ask(full, FORM, signed=False)[0] == "403 Forbidden"
    assert services.database.read(select(EntryRow.id)) == []


@pytest.mark.parametrize(
    "environ",
    [
        {"PATH_INFO": ASSIGNMENT + "/fallback"},
        {"PATH_INFO": "/taskrouter/events"},
        {"REQUEST_METHOD": "GET"},
        {"CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": str(MAX_FORM_BYTES + 1)},
    ],
    ids=["fallback", "event", "GET", "no-length", "negative", "large"],
)
def test_anything_else_is_left_to_the_application(full: LoadShedding, environ: dict[str, str]) -> None:
    assert ask(full, FORM, environ) == ("", "behind")


def test_without_a_database_the_default_goes_out_all_the_same(
    services: Services, full: LoadShedding, behind: Behind
) -> None:
    """An internal error, too: without a journal, every use of it is one."""
    without_journal: Any = None
    adapters = replace(services.adapters, journal=without_journal)
    failing = AssignmentHandler(adapters, services.rules, services.enricher)
    full = LoadShedding(behind, replace(services, assignments=failing))
    assert ask(full, FORM) == ("200 OK", '{"instruction":"accept"}')


def test_what_waits_too_long_for_the_database_is_answered_and_recorded_later(
    services: Services, full: LoadShedding, behind: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process writes for longer than the answer can wait."""
    hurried = AssignmentHandler(services.adapters, services.rules, services.enricher, overload_answer_due_s=0.02)
    full = LoadShedding(behind, replace(services, assignments=hurried))
    other = sqlite3.connect(services.database.url.database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert ask(full, FORM) == ("200 OK", '{"instruction":"accept"}')
    assert services.database.read(select(EntryRow.id)) == []
    (told,) = [each for each in caplog.records if each.message == "receipt not recorded yet"]
    assert vars(told)["reservation_sid"] == FORM["ReservationSid"]
    other.execute("ROLLBACK")
    other.close()
    services.adapters.journal.finish(20)
    (row,) = services.database.read(select(EntryRow.reason, EntryRow.answer))
    assert tuple(row) == ("overload", '{"instruction":"accept"}')


def test_one_that_failed_behind_is_no_longer_in_flight(services: Services) -> None:
    def fails(_environ: object, _start_response: object) -> Iterable[bytes]:
        raise RuntimeError

    only_one = Admission(1)
    object.__setattr__(services, "admission", only_one)
    with pytest.raises(RuntimeError):
        ask(LoadShedding(fails, services), FORM)
    assert only_one.in_flight == 0


def test_what_is_shed_tells_how_long_it_took(full: LoadShedding) -> None:
    told: list[tuple[str, str]] = []
    body = urlencode(FORM).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": ASSIGNMENT,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_X_TWILIO_SIGNATURE": sign(ASSIGNMENT, FORM),
    }
    full(environ, lambda _status, headers: told.extend(headers))  # type: ignore[arg-type]
    assert dict(told)["Server-Timing"].startswith("total;dur=")
