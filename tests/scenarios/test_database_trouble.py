"""PostgreSQL frozen, stopped and started again under the running service: callbacks are answered, and work goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.contact_centre import ContactCentre, Service
from tests.support.postgresql import PostgreSQLServer, postgresql_server

ASSIGNMENT = "/taskrouter/assignment"
DETAILS = {"Authorization": "Bearer not-a-real-token"}

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQLServer]:
    """A server of this file's own."""
    with postgresql_server(tmp_path_factory.mktemp("maltreated")) as server:
        yield server


@pytest.fixture(scope="module", params=["callback", "rest"])
def service(request: pytest.FixtureRequest, start_service: Callable[..., Service], server: PostgreSQLServer) -> Service:
    """Two web processes on that server, with breakers as they are shipped, for both ways of accepting."""
    settings = {"ENRICH_BREAKER_FAILURES": "5", "ENRICH_ACCEPT_VIA": request.param}
    return start_service(DATABASE_URL=server.wheel.get_uri(), **settings)


def is_ready(service: Service) -> requests.Response:
    return requests.get(f"{service.url}/readyz", headers=DETAILS, timeout=10)


def wait_until_it_works(service: Service, make_callback: Callable[..., dict[str, str]]) -> None:
    """Returns when several callbacks in a row are in the journal again, and neither process shuns the database.

    A process finds out that it is back when it is asked something, and which of the two is asked, chance decides.
    """
    until = time.monotonic() + 30
    recorded = 0
    while recorded < 8 or 'enrich_breaker_open{of="database"} 0.0' not in metrics_of(service):
        form = make_callback()
        assert service.post(ASSIGNMENT, form).status_code == 200
        recorded = recorded + 1 if service.entries(task_sid=form["TaskSid"]) else 0
        assert time.monotonic() < until, "work does not go on"


def test_a_frozen_server_keeps_nobody(
    service: Service, server: PostgreSQLServer, make_callback: Callable[..., dict[str, str]]
) -> None:
    """Forty at once. TaskRouter's own five seconds are the client's time-out, so an answer at all is one in time."""
    wait_until_it_works(service, make_callback)
    forms = [make_callback() for _ in range(40)]
    with server.frozen(), ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda form: service.post(ASSIGNMENT, form), forms))
        assert {answer.text for answer in answers} == {'{"instruction":"accept"}'}
        assert service.post("/taskrouter/events", {"Sid": "EV" + "1" * 32}).status_code == 503
        until = time.monotonic() + 10
        while (response := is_ready(service)).status_code == 200:  # what it found is told for a second
            assert time.monotonic() < until, "it stays ready"
        assert response.json()["database"] == "database_too_slow"
    wait_until_it_works(service, make_callback)
    until = time.monotonic() + 10
    while is_ready(service).status_code != 200:  # what it found is told for a second
        assert time.monotonic() < until, "it does not become ready again"


def test_a_frozen_server_is_told_by_the_metrics_and_does_not_keep_them(
    service: Service, server: PostgreSQLServer, make_callback: Callable[..., dict[str, str]]
) -> None:
    """The processes' own counts are exposed all the same: that the breakers opened, and that they closed again."""
    wait_until_it_works(service, make_callback)
    with server.frozen(), ThreadPoolExecutor(40) as pool:
        began = time.monotonic()
        assert "enrich_database_up 0.0" in metrics_of(service)
        assert time.monotonic() - began < 2.0
        list(pool.map(lambda form: service.post(ASSIGNMENT, form), [make_callback() for _ in range(40)]))
        text = metrics_of(service)
        assert re.search(r'enrich_breaker_open{of="database"} [12]\.0', text)
        assert 'outcome="not_tried",reason="not_recorded"' in text
        assert "enrich_followups_owed" not in text
    wait_until_it_works(service, make_callback)
    assert "enrich_database_up 1.0" in metrics_of(service)


def metrics_of(service: Service) -> str:
    return requests.get(f"{service.url}/metrics", headers=DETAILS, timeout=5).text


def test_a_server_that_is_stopped_and_started_is_found_again(
    service: Service,
    server: PostgreSQLServer,
    open_centre: Callable[..., ContactCentre],
    make_callback: Callable[..., dict[str, str]],
) -> None:
    wait_until_it_works(service, make_callback)
    server.stop()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: service.post(ASSIGNMENT, make_callback()), range(20)))
    assert {answer.text for answer in answers} == {'{"instruction":"accept"}'}
    response = is_ready(service)
    assert (response.status_code, response.json()["database"]) == (503, "database_unavailable")
    server.start()
    wait_until_it_works(service, make_callback)

    centre = open_centre(service)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    by_rest = service.environment["ENRICH_ACCEPT_VIA"] == "rest"
    assert centre.answer(task_sid) == ({} if by_rest else {"instruction": "accept"})
    assert centre.block(task_sid)["customer_id"] == "C-1001"


def test_many_time_outs_leave_the_pool_whole(
    service: Service, server: PostgreSQLServer, make_callback: Callable[..., dict[str, str]]
) -> None:
    """Each round interrupts what waits; a connection that was lost to it would be missed in the end."""
    for _ in range(3):
        wait_until_it_works(service, make_callback)
        with server.frozen(), ThreadPoolExecutor(50) as pool:
            list(pool.map(lambda _: service.post(ASSIGNMENT, make_callback()), range(50)))
    wait_until_it_works(service, make_callback)
    with ThreadPoolExecutor(50) as pool:
        forms = [make_callback() for _ in range(50)]
        list(pool.map(lambda form: service.post(ASSIGNMENT, form), forms))
    assert all(service.entries(task_sid=form["TaskSid"]) for form in forms)
