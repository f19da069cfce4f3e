"""Systems that send their customers over real HTTP: the program in the documentation, and a database that goes away."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, select

from enrich.accounts.tokens import ApiTokens
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.tables import IdentifierRow
from enrich.database.engine import Database
from tests.support.contact_centre import Service
from tests.support.postgresql import PostgreSQLServer, postgresql_server
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET, signed

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
BATCHES, OF_EACH = 24, 100


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a sources file with a source that sends."""
    path = tmp_path_factory.mktemp("sources") / "sources.toml"
    path.write_text('[sources.shop]\nkind = "push"\nsecret_env = "SHOP_SECRET"\n')
    return str(path)


@pytest.fixture
def service(start_service: Callable[..., Service], sources: str) -> Service:
    return start_service(ENRICH_SOURCES=sources, SHOP_SECRET=SECRET)


def token_of(database: Database) -> str:
    name = f"Shop {datetime.now(UTC)}"
    added = ApiTokens(database).add(name=name, scopes=["intake:shop"], now=datetime.now(UTC))
    assert added
    return added[1]


def test_the_program_of_the_documentation_works(service: Service) -> None:
    (program,) = re.findall(r"^    import json\n.*?(?=^\S)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "ENRICH_URL": service.url, "ENRICH_TOKEN": token_of(service.database)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("19 quarantined [{'field': 'phones[0]', 'detail': ")
    stored = select(IdentifierRow.value).where(IdentifierRow.customer_id == "shop:17", IdentifierRow.kind == "phone")
    assert [row.value for row in service.database.read(stored)] == ["+14155550100"]


def test_one_is_put_found_by_a_look_up_deleted_and_found_no_more(service: Service) -> None:
    address = f"{service.url}/api/v1/sources/shop/customers/a%2Fb%20c"
    headers = {"Authorization": f"Bearer {token_of(service.database)}"}
    customer = {"version": "2026-11-28T12:00:00Z", "name": "Sam", "phones": ["+12125550177"]}
    put = requests.put(address, json=customer, headers=headers, timeout=5)
    assert (put.status_code, put.json()["id"]) == (201, "a/b c")
    attributes = select(IdentifierRow.customer_id).where(IdentifierRow.value == "+12125550177")
    assert [row.customer_id for row in service.database.read(attributes)] == ["shop:a/b c"]
    deleted = requests.delete(f"{address}?version=2026-11-28T12:00:01Z", headers=headers, timeout=5)
    assert deleted.json()["outcome"] == "deleted"
    assert not service.database.read(attributes)


def test_a_signed_request_in_chunks(service: Service) -> None:
    body = json.dumps({"customers": [{"id": "21", "version": 1, "name": "Sam"}]}).encode()
    headers = {**signed(body), "Content-Type": "application/json"}
    url = f"{service.url}/api/v1/sources/shop/customers"
    sent = requests.post(url, data=iter([body[:10], body[10:]]), headers=headers, timeout=5)
    assert sent.json()["counts"] == {"created": 1}
    wrong = requests.post(url, data=body + b" ", headers=headers, timeout=5)
    assert wrong.status_code == 401


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQLServer]:
    with postgresql_server(tmp_path_factory.mktemp("away")) as server:
        yield server


@pytest.mark.postgresql
def test_nothing_is_lost_when_the_database_goes_away_in_the_middle(
    start_service: Callable[..., Service], sources: str, server: PostgreSQLServer
) -> None:
    """Whatever was answered by 2xx is there, and whatever was not is sent again until it is."""
    service = start_service(
        ENRICH_SOURCES=sources, DATABASE_URL=server.wheel.get_uri(), WEB_CONCURRENCY="2", ENRICH_BREAKER_FAILURES="5"
    )
    url = f"{service.url}/api/v1/sources/shop/customers"
    headers = {"Authorization": f"Bearer {token_of(service.database)}"}
    statuses: Counter[int] = Counter()
    taken: list[int] = []
    is_away = threading.Event()

    def send(number: int) -> dict[str, Any]:
        """Send one batch until it is taken; the second half of them not before the database is away."""
        if number >= BATCHES // 2:
            is_away.wait(60)
        ids = range(number * OF_EACH, (number + 1) * OF_EACH)
        customers = [{"id": f"c-{one}", "version": 1, "name": "Sam", "emails": [f"c{one}@example.com"]} for one in ids]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            response = requests.post(url, json={"customers": customers}, headers=headers, timeout=30)
            statuses[response.status_code] += 1
            if response.status_code == 200:
                taken.append(number)
                counts: dict[str, Any] = response.json()["counts"]
                return counts
            assert response.status_code == 503, response.text
            assert int(response.headers["Retry-After"]) >= 1
            time.sleep(0.2)  # less politely than it was asked to
        raise AssertionError("it is not taken")

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(send, number) for number in range(BATCHES)]
        wait_until(lambda: len(taken) >= BATCHES // 4, within_s=60)
        server.stop()
        is_away.set()
        wait_until(lambda: statuses[503] > 0, within_s=60)
        server.start()
        results = [one.result() for one in sending]
    stored = select(func.count()).select_from(SourceRecordRow).where(SourceRecordRow.source == "shop")
    assert service.database.read(stored)[0][0] == BATCHES * OF_EACH
    # A batch of which a part was stored before the database went away is completed.
    assert all(sum(counts.values()) == OF_EACH and counts.keys() <= {"created", "unchanged"} for counts in results)
    assert {tuple(send(number).items()) for number in range(BATCHES)} == {(("unchanged", OF_EACH),)}
