"""The look-up API over real HTTP, under gunicorn, as another system asks."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import requests
from sqlalchemy import func, select

from enrich.accounts.tokens import ApiTokens
from enrich.demo.processes import Processes
from enrich.journal.tables import LookupRow
from tests.support.contact_centre import Service
from tests.support.waiting import wait_until

QUESTIONS = 40


def test_many_ask_at_once_and_each_is_answered_and_recorded(start_service: Callable[..., Service]) -> None:
    service = start_service(WEB_CONCURRENCY="2")
    database = service.database
    now = datetime.now(UTC)
    added = ApiTokens(database).add(name="scenario", scopes=["lookup"], now=now)
    assert added
    token, secret = added

    def ask(_: int) -> requests.Response:
        url = f"{service.url}/api/v1/lookup"
        headers = {"Authorization": f"Bearer {secret}"}
        return requests.get(url, params={"phone": "+14155550100"}, headers=headers, timeout=5)

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(ask, range(QUESTIONS)))
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["customer_id"] for response in responses} == {"C-1001"}
    # As Studio sends it: the token in the URL of the client, and a header on the way.
    in_url = service.url.replace("://", f"://studio:{secret}@")
    assert requests.get(f"{in_url}/api/v1/lookup?phone=1", timeout=5).json()["match"] == "none"
    count = select(func.count()).select_from(LookupRow).where(LookupRow.token_id == token.id)
    wait_until(lambda: database.read(count)[0][0] == QUESTIONS + 1, within_s=10)
    assert requests.get(f"{service.url}/api/v1/lookup?phone=1", timeout=5).status_code == 401
    assert requests.get(f"{service.url}/api/v1/openapi.json", timeout=5).json()["openapi"] == "3.1.1"


def test_sigterm_loses_no_look_up_that_was_answered(own_service: Service, processes: Processes) -> None:
    processes.start("web", "gunicorn", "app:create_app()", env=own_service.environment)
    processes.wait_for("web", f"{own_service.url}/readyz", lambda: False)
    database = own_service.database
    added = ApiTokens(database).add(name="scenario", scopes=["lookup"], now=datetime.now(UTC))
    assert added
    headers = {"Authorization": f"Bearer {added[1]}"}
    answered = 0
    # Until it takes no more, so that some were answered just before it ends.
    with suppress(requests.ConnectionError):
        while requests.get(f"{own_service.url}/api/v1/lookup?phone=1", headers=headers, timeout=5).ok:
            answered += 1
            if answered == QUESTIONS:
                processes.signal("web", signal.SIGTERM)
    assert processes.wait_for_end("web") == 0
    assert answered >= QUESTIONS
    assert database.read(select(func.count()).select_from(LookupRow))[0][0] >= answered
