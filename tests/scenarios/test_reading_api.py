"""The reading API over real HTTP, under gunicorn, as a report reads it while work arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import requests
from sqlalchemy import select

from enrich.accounts.tokens import ApiTokens
from enrich.journal.tables import EntryRow, ReadRow
from tests.support.contact_centre import ASSIGNMENT, ContactCentre, Service, forms_of, sid, waiting_tasks
from tests.support.journal import insert_entry
from tests.support.waiting import wait_until

THERE, ARRIVING = 60, 20


def test_a_report_reads_every_task_once_while_callbacks_are_answered(
    start_service: Callable[..., Service], centre: ContactCentre, make_callback: Callable[..., dict[str, str]]
) -> None:
    service = start_service(WEB_CONCURRENCY="2")
    database = service.database
    added = ApiTokens(database).add(name="report", scopes=["read:unmasked"], now=datetime.now(UTC))
    assert added
    token, secret = added
    for _ in range(THERE):
        insert_entry(database, task_sid=sid("WT"))
    at_first = {row.task_sid for row in database.read(select(EntryRow.task_sid).where(EntryRow.kind != "event"))}
    forms = forms_of(centre, waiting_tasks(centre, ARRIVING), make_callback)

    def pages() -> Iterator[Any]:
        address: str | None = f"{service.url}/api/v1/tasks?limit=3"
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {secret}"
            while address:
                response = session.get(address, timeout=5)
                assert response.status_code == 200, response.text
                yield response.json()
                address = response.links.get("next", {}).get("url")

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda form: service.post(ASSIGNMENT, form), forms)
        seen = [task["task_sid"] for page in pages() for task in page["tasks"]]
        assert {answer.status_code for answer in answers} == {200}
    assert len(set(seen)) == len(seen)
    assert at_first - {None} <= set(seen)
    number = select(ReadRow.number).where(ReadRow.token_id == token.id)
    wait_until(lambda: sum(row.number for row in database.read(number)) == len(seen), within_s=10)
