"""Reading over the API: customers, tasks with their entries, and follow-ups, for reports and other systems.

A read gives way to callbacks, as a look-up does, and one at a time works in a process, in slices (`time_slices.py`): a
page is a hundred times the work of a look-up. It ends after `READ_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from enrich.accounts.tokens import READ, READ_UNMASKED
from enrich.api.access import (
    JSON,
    VERSION_PREFIX,
    Api,
    AQuery,
    current_api,
    low_priority,
    query_of,
    refusal_result,
    token_with,
)
from enrich.api.problems import Problem, unavailable
from enrich.api.reading import Reader
from enrich.api.reading_models import Answer, EntriesQuery, FollowupsQuery, NoQuery, Page, PageQuery, TasksQuery
from enrich.domain.outcomes import Reason
from enrich.journal.reads import Read

READ_S = 10.0
COULD_NOT_READ = "The database could not be asked. Ask again."
# Reads in one process, of which one works. Each takes a place of those that look-ups need, too.
MAX_READS = 5

bp = Blueprint("reading", __name__, url_prefix=VERSION_PREFIX)


@bp.get("/customers")
def list_customers() -> Response:
    """Return a page of the customers."""
    return _read(PageQuery, Reader.customers)


@bp.get("/customers/<path:customer_id>")
def get_customer(customer_id: str) -> Response:
    """Return one customer in full; of a merged one, the customer that they are part of."""
    return _read(NoQuery, lambda reader, _: reader.customer(customer_id))


@bp.get("/tasks")
def list_tasks() -> Response:
    """Return a page of the tasks that arrived in a period."""
    return _read(TasksQuery, Reader.tasks)


@bp.get("/tasks/<task_sid>")
def get_task(task_sid: str) -> Response:
    """Return one task with a page of its entries."""
    return _read(EntriesQuery, lambda reader, query: reader.task(task_sid, query))


@bp.get("/followups")
def list_followups() -> Response:
    """Return a page of the follow-ups of a state."""
    return _read(FollowupsQuery, Reader.followups)


def _read(model: type[AQuery], read: Callable[[Reader, AQuery], Answer | None]) -> Response:
    """Return what `read` finds as a response. Raises Problem; 404 if it finds nothing.

    Admission comes first, so that shedding costs little.
    """
    api, operation = current_api(), (request.endpoint or "").rpartition(".")[2]
    try:
        if api.time_slices.present >= MAX_READS:
            raise unavailable(Reason.OVERLOAD, "Other reads are waiting already. Ask again, one page after the other.")
        with low_priority(api, READ_S, COULD_NOT_READ):
            answer = _answer(api, operation, model, read)
    except Problem as problem:
        if result := refusal_result(problem, "could_not_read"):
            api.services.metrics.read(operation, result)
        raise
    api.services.metrics.read(operation, "answered")
    if answer is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not_found", "Not Found")
    response = Response(answer.model_dump_json() + "\n", mimetype=JSON)
    if isinstance(answer, Page) and answer.next:
        response.headers["Link"] = f'<{api.services.settings.public_url}{_address(answer.next)}>; rel="next"'
    return response


def _answer(
    api: Api, operation: str, model: type[AQuery], read: Callable[[Reader, AQuery], Answer | None]
) -> Answer | None:
    """Return what `read` finds for the token of the request, and have it recorded."""
    began = time.monotonic()
    now = api.services.adapters.now()
    token = token_with(api, now, READ, READ_UNMASKED)
    query = query_of(model)
    is_masked = READ_UNMASKED not in token.scopes
    with api.time_slices.turn(READ_S):
        answer = read(Reader(api.services, is_masked, now, api.time_slices.pause), query)
    subject, number = answer.personal() if answer and not is_masked else (None, 0)
    record = Read(
        at=now,
        token_id=token.id,
        operation=operation,
        subject=subject,
        number=number,
        elapsed_ms=round((time.monotonic() - began) * 1000, 2),
    )
    api.read_recorder.add(record if number else None, token, now)
    return answer


def _address(cursor: str) -> str:
    """Return the address of the request with another cursor."""
    return f"{request.path}?{urlencode(request.args.to_dict() | {'cursor': cursor})}"
