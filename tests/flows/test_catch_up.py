"""Catch-up against servers that answer wrongly, slowly or without end, and runs that are cut short."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import cycle
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from sqlalchemy import select

from enrich.cli.taskrouter import make_catch_up
from enrich.flows.catch_up import FIRST_WINDOW, MAX_PAGES, OVERLAP, SETTLED_AFTER, CatchUp
from enrich.journal.tables import EntryRow
from enrich.taskrouter import client
from tests.support.app import run_command, services_of
from tests.support.fixtures import MakeApp
from tests.support.scripted_server import ScriptedServer, response

WORKSPACE = "WS" + "0" * 32
SINCE = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Serve = Callable[..., ScriptedServer]
MakeApps = Callable[[ScriptedServer], Flask]


@pytest.fixture
def app_of(make_app: MakeApp) -> Iterator[MakeApps]:
    """Makes applications whose TaskRouter is a scripted server."""
    made: list[Flask] = []

    def app_of(server: ScriptedServer) -> Flask:
        made.append(make_app(TASKROUTER_BASE_URL=server.url, TWILIO_WORKSPACE_SID=WORKSPACE))
        return made[-1]

    yield app_of
    for app in made:
        services_of(app).adapters.taskrouter.close()


def event(second: int, **fields: object) -> dict[str, object]:
    """Return an event of the list, that many seconds after SINCE."""
    moment = SINCE + timedelta(seconds=second)
    sid = f"EV{second:032d}"
    return {
        "sid": sid,
        "event_type": "task.created",
        "event_date": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "event_data": {"task_sid": f"WT{second:032d}", "task_attributes": "{}"},
        **fields,
    }


def page(events: list[dict[str, object]], next_url: str | None = None) -> bytes:
    return json.dumps({"events": events, "meta": {"key": "events", "next_page_url": next_url}}).encode()


def asked_for(request: bytes) -> dict[str, str]:
    """Return the query of a request."""
    target = request.split(b" ")[1].decode()
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


class History:
    """Events, one on each page, the latest first."""

    def __init__(self, *events: dict[str, object]) -> None:
        self.events = sorted(events, key=lambda event: str(event["event_date"]), reverse=True)

    def __call__(self, request: bytes) -> bytes:
        query = asked_for(request)
        since, until, number = query["StartDate"], query["EndDate"], int(query.get("Page", 0))
        within = [event for event in self.events if since <= str(event["event_date"]) <= until]
        url = f"http://127.0.0.1/v1/Workspaces/{WORKSPACE}/Events?StartDate={since}&EndDate={until}&Page={number + 1}"
        return response(page(within[number : number + 1], url if number + 1 < len(within) else None))


def recorded(app: Flask) -> list[str]:
    return sorted(row.delivery_key for row in services_of(app).database.read(select(EntryRow.delivery_key)))


def at(second: float) -> datetime:
    """Return the moment at which a run reads up to this second."""
    return SINCE + timedelta(seconds=second) + SETTLED_AFTER


def catch_up_of(app: Flask) -> CatchUp:
    return make_catch_up(services_of(app))


class TestAnswersThatAreNone:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            pytest.param(
                response(gzip.compress(page([event(1)])), headers="Content-Encoding: gzip\r\n"),
                "not_understood",
                id="compressed, which nobody asked for",
            ),
            pytest.param(response(b"[" * 100_000), "not_understood", id="deep"),
            pytest.param(response(b'{"events":{}}'), "not_understood", id="no list"),
            pytest.param(response(b'{"events":[1]}'), "not_understood", id="a list of something else"),
            pytest.param(response(b"", status=302, headers="Location: /\r\n"), "taskrouter_redirected", id="redirect"),
            pytest.param(response(b"", status=404), "task_gone", id="no such workspace"),
        ],
    )
    def test_end_the_run_which_says_why(self, serve: Serve, app_of: MakeApps, answer: bytes, reason: str) -> None:
        app = app_of(serve(answer))
        run = catch_up_of(app).run(SINCE, at(10))
        assert run.error is not None
        assert (run.error.reason, run.count, run.since, run.was_cut_short) == (reason, 0, SINCE, False)

    def test_a_list_without_end_is_given_up(self, serve: Serve, app_of: MakeApps) -> None:
        def endless(_request: bytes) -> bytes:
            return response(page([event(1)], f"http://127.0.0.1/v1/Workspaces/{WORKSPACE}/Events?Page=1"))

        server = serve(reply=endless)
        app = app_of(server)
        status, output = run_command(app, "taskrouter", "catch-up")
        assert (status, "not_understood" in output, "to go on: flask taskrouter catch-up --minutes" in output) == (
            1,
            True,
            True,
        )
        halvings = FIRST_WINDOW.seconds.bit_length()
        assert len(server.got) <= (halvings + 1) * MAX_PAGES
        assert recorded(app) == ["EV" + f"{1:032d}"]

    def test_a_page_that_is_too_long_is_given_up(self, serve: Serve, app_of: MakeApps) -> None:
        server = serve(reply=lambda _request: response(b" " * client.MAX_PAGE_BYTES))
        run = catch_up_of(app_of(server)).run(SINCE, at(60))
        assert (run.error and run.error.reason, run.since) == ("not_understood", SINCE)
        assert len(server.got) == FIRST_WINDOW.seconds.bit_length() + 1

    def test_the_next_page_is_asked_for_at_our_own_host(self, serve: Serve, app_of: MakeApps) -> None:
        other = serve()
        own = serve(
            response(page([event(1)], f"{other.url}/v1/Workspaces/{WORKSPACE}/Events?PageToken=2")),
            response(page([event(2)])),
        )
        assert catch_up_of(app_of(own)).run(SINCE, at(10)).count == 2
        assert [asked_for(request).get("PageToken") for request in own.got] == [None, "2"]
        assert (other.connections, other.got) == (0, [])

    def test_a_page_outside_of_the_api_is_not_asked_for(self, serve: Serve, app_of: MakeApps) -> None:
        own = serve(response(page([event(1)], "http://127.0.0.1/metrics")))
        run = catch_up_of(app_of(own)).run(SINCE, at(10))
        assert (run.error and run.error.reason, len(own.got)) == ("not_understood", 1)

    @pytest.mark.parametrize(
        "unreadable",
        [
            pytest.param(event(3, sid="EV1"), id="no SID"),
            pytest.param(event(3, event_type=None), id="no type"),
            pytest.param(event(3, event_data=["x"]), id="no data"),
            pytest.param(event(3, event_date="yesterday"), id="no time"),
            pytest.param(event(3, event_data={"task_attributes": "x" * 200_000}), id="longer than any callback"),
        ],
    )
    def test_one_event_that_cannot_be_read_keeps_no_other_from_being_recorded(
        self, serve: Serve, app_of: MakeApps, unreadable: dict[str, object]
    ) -> None:
        app = app_of(serve(response(page([event(1), unreadable, event(2)]))))
        run = catch_up_of(app).run(SINCE, at(10))
        assert (run.count, run.error) == (2, None)


class TestARunThatIsCutShort:
    @pytest.mark.parametrize("seconds", [7, 50, 3 * MAX_PAGES, 10 * MAX_PAGES])
    def test_all_of_a_period_is_recorded_however_much_it_holds(
        self, serve: Serve, app_of: MakeApps, seconds: int
    ) -> None:
        app = app_of(serve(reply=History(*map(event, range(seconds + 5)))))
        run = catch_up_of(app).run(SINCE, at(seconds))
        assert (run.count, run.since) == (seconds + 1, at(seconds) - SETTLED_AFTER - OVERLAP)
        assert recorded(app) == [f"EV{second:032d}" for second in range(seconds + 1)]

    def test_a_page_that_is_too_long_is_read_in_parts(self, serve: Serve, app_of: MakeApps) -> None:
        def long(request: bytes) -> bytes:
            query = asked_for(request)
            within = [
                row for row in map(event, range(60)) if query["StartDate"] <= str(row["event_date"]) <= query["EndDate"]
            ]
            return response(page(within) + b" " * (len(within) * client.MAX_PAGE_BYTES // 9))

        app = app_of(serve(reply=long))
        run = catch_up_of(app).run(SINCE, at(59))
        assert (run.count, run.error) == (60, None)

    def test_the_next_run_goes_on_where_it_was_over(self, serve: Serve, app_of: MakeApps) -> None:
        app = app_of(serve(reply=History(*map(event, range(100)))))
        catch_up, since, runs = catch_up_of(app), SINCE, 0
        is_over = cycle([False, False, False, False, True])
        while (run := catch_up.run(since, at(100), lambda: next(is_over))).was_cut_short:
            since, runs = run.since, runs + 1
            assert runs < 200
        assert runs > 20
        assert recorded(app) == [f"EV{second:032d}" for second in range(100)]

    def test_it_stops_when_it_is_told_to(self, serve: Serve, app_of: MakeApps) -> None:
        server = serve(reply=History(*map(event, range(20))))
        app = app_of(server)
        run = catch_up_of(app).run(SINCE, at(20), lambda: True)
        assert (run.was_cut_short, run.since, len(server.got), recorded(app)) == (True, SINCE, 1, [])

    def test_a_failure_leaves_what_was_read_before(self, serve: Serve, app_of: MakeApps) -> None:
        later = SINCE + FIRST_WINDOW
        answers = History(event(1), event(90))

        def failing_later(request: bytes) -> bytes:
            return (
                answers(request) if asked_for(request)["StartDate"] < f"{later:%FT%TZ}" else response(b"", status=500)
            )

        app = app_of(serve(reply=failing_later))
        run = catch_up_of(app).run(SINCE, at(600))
        assert run.error is not None
        assert (run.error.reason, run.count, run.since) == ("taskrouter_failed", 1, later)

    def test_the_command_says_what_is_left(
        self, serve: Serve, app_of: MakeApps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_module("enrich.cli.taskrouter"), "CATCH_UP_S", 0.0)
        app = app_of(serve(response(page([]))))
        status, output = run_command(app, "taskrouter", "catch-up", "--minutes", "90")
        assert status == 1
        assert output.startswith("0 brought in\n")
        assert "to go on: flask taskrouter catch-up --minutes 91" in output
