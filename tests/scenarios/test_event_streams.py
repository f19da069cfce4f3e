"""A task whose events come by Event Streams: to the service as it is shipped, over HTTP, and on to the worker."""

from __future__ import annotations

import json
from collections.abc import Callable

import requests

from enrich.taskrouter.endpoints import EVENT_STREAMS
from taskrouter_emulator import EMULATOR_ONLY
from tests.support.contact_centre import TASKROUTER_TIMEOUT_S, ContactCentre, Service, waiting_tasks
from tests.support.event_streams import make_event, query_of, sign_url
from tests.support.worker import worker_of


def test_a_streamed_event_enriches_a_task_before_it_is_offered(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
) -> None:
    service = start_service(ENRICH_KEEP_DAYS="33")  # a database of its own
    centre = open_centre(service)
    (task_sid,) = waiting_tasks(centre, 1)
    created = make_event(1, workspace_sid=centre.workspace_sid, task_sid=task_sid)
    body = json.dumps([created, make_event(2), created]).encode()
    query = query_of(body)
    signature = sign_url(query, public_url=service.url, auth_token=EMULATOR_ONLY.auth_token)
    answer = requests.post(
        f"{service.url}{EVENT_STREAMS}?{query}",
        data=body,
        headers={"X-Twilio-Signature": signature, "Content-Type": "application/json"},
        timeout=TASKROUTER_TIMEOUT_S,
    )
    assert answer.status_code == 204
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.event_type, entry.delivery_key) == ("task.created", created["id"])
    with worker_of(service) as work:
        work()
    assert centre.block(task_sid)["customer_id"] == "C-1001"
