"""TaskRouter over REST: a task with its ETag, the conditional write, moves of tasks, reservations and workers, events.

On our own kept connections (`http.py`). Every HTTP failure leaves here as one error of errors.py.

Any 2xx with the document that was asked for is success, whichever number it has. A 2xx without one is NotUnderstood:
the write may have been done all the same, so whoever goes on reads first. Flows do so by themselves, since they start
with a fetch; a reservation, whose status moves only once, is read here.
Sources: docs/taskrouter.md, "Tasks", "Attributes", "Versions", "Status of a task", "Reservations", "REST API".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.deliveries import Exchange, PastEvent
from enrich.domain.tasks import Task
from enrich.resilience.circuit_breaker import CircuitBreaker
from enrich.resilience.dns_cache import DnsCache
from enrich.taskrouter.event_forms import past_event
from enrich.taskrouter.http import HttpResponse, Wire
from enrich.taskrouter.responses import NO_RESPONSE, document_of, error_of, member, no_response, rows_of, task_of

Fields = Mapping[str, str] | Sequence[tuple[str, str]]

# Answers of TaskRouter are a few kilobytes; what is longer is not one.
_MAX_ANSWER_BYTES = 1_000_000
# Of a page of a list. The attributes of 100 tasks fit, even if all of them are emoji: 4,096 characters of 12 bytes.
# Parsed, JSON can take twenty times its length.
MAX_PAGE_BYTES = 5_000_000
# A list of tasks with more pages than this is not read to its end; what is left is there the next time.
_MAX_PAGES = 20
_EVENTS_PER_PAGE = "200"

# The statuses of a reservation that say that it has reached this one (docs/taskrouter.md, "Reservations").
_REACHED: Mapping[str, tuple[str, ...]] = {
    "accepted": ("accepted", "wrapping", "completed"),
    "wrapping": ("wrapping", "completed"),
    "completed": ("completed",),
    "rejected": ("rejected",),
}
# It can become none of the above any more.
_ENDED = ("rejected", "timeout", "canceled", "rescinded", "completed")

# What tells that the API itself is in trouble; a refusal is an answer.
_TROUBLE = (errors.TaskRouterFailed, errors.TaskRouterUnreachable, errors.TaskRouterTooSlow, OutOfTime)


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A task of a list, without attributes (docs/taskrouter.md, "Tasks"). date_updated: as TaskRouter writes it."""

    sid: str
    assignment_status: str
    date_updated: str


class TaskRouterClient:
    """The REST API of one account. Safe to share between greenlets and threads; connections are kept alive.

    base_url: TaskRouter's, or an emulator's. user, password: Account SID and Auth Token, or API key and secret.
    connections: how many are kept; more are opened when needed, and closed after use.
    observe: told of every exchange when it is over, by whoever waited for it.
    """

    def __init__(
        self,
        base_url: str,
        user: str,
        password: str,
        *,
        addresses: DnsCache,
        breaker: CircuitBreaker,
        connections: int = 64,
        observe: Callable[[Exchange], None] = lambda _exchange: None,
    ) -> None:
        self._wire = Wire(base_url, addresses=addresses, connections=connections, largest=_MAX_ANSWER_BYTES)
        self._breaker = breaker
        self._observe = observe
        self._prefix = f"{urllib3.util.parse_url(base_url).path or ''}/v1"
        self._headers = urllib3.util.make_headers(
            basic_auth=f"{user}:{password}", keep_alive=True, user_agent="taskrouter-enrich"
        ) | {"Accept": "application/json"}

    def fetch_task(self, workspace_sid: str, task_sid: str, *, timeout_s: float) -> Task:
        """Fetch the task. Raises TaskRouterError; TaskGone if there is none."""
        return task_of(self._ask("GET", _task_path(workspace_sid, task_sid), timeout_s=timeout_s))

    def update_attributes(
        self, workspace_sid: str, task_sid: str, attributes: str, *, if_match: str, timeout_s: float
    ) -> None:
        """Replace the task's whole Attributes text unless somebody wrote since `if_match`.

        Raises TaskRouterError; StaleTask when somebody did, and then nothing was changed.
        """
        path = _task_path(workspace_sid, task_sid)
        done = self._ask("POST", path, {"Attributes": attributes}, {"If-Match": if_match}, timeout_s=timeout_s)
        member(document_of(done), "sid")  # a 2xx that is no task came from somebody in between

    def instruct(
        self,
        workspace_sid: str,
        task_sid: str,
        reservation_sid: str,
        fields: Sequence[tuple[str, str]],
        *,
        timeout_s: float,
    ) -> None:
        """Carry out an instruction on the reservation.

        fields: a name may be repeated (docs/taskrouter.md, "Instructions"). With `ReservationStatus` among them it is
        carried out once the reservation has that status. Any other takes its time: it counts once the answer is a
        document, or the reservation is not pending any more. Raises TaskRouterError.
        """
        path = _reservation_path(workspace_sid, task_sid, reservation_sid)
        done = self._ask("POST", path, fields, timeout_s=timeout_s)
        if status := dict(fields).get("ReservationStatus"):
            self._require_status(done, path, status, timeout_s)
            return
        try:
            document_of(done)
        except errors.NotUnderstood:
            if self._reservation_status(path, timeout_s) == "pending":
                raise

    def update_reservation(
        self, workspace_sid: str, task_sid: str, reservation_sid: str, status: str, *, timeout_s: float
    ) -> None:
        """Set the reservation's status: `accepted`, `wrapping` or `completed`.

        Raises TaskRouterError; RequestRefused with the code errors.WRONG_STATE if its state does not allow the change.
        """
        path = _reservation_path(workspace_sid, task_sid, reservation_sid)
        done = self._ask("POST", path, {"ReservationStatus": status}, timeout_s=timeout_s)
        self._require_status(done, path, status, timeout_s)

    def reservation_status(self, workspace_sid: str, task_sid: str, reservation_sid: str, *, timeout_s: float) -> str:
        """Return the reservation's status. Raises TaskRouterError; TaskGone if there is none."""
        path = _reservation_path(workspace_sid, task_sid, reservation_sid)
        return self._reservation_status(path, timeout_s)

    def _reservation_status(self, path: str, timeout_s: float) -> str:
        return member(document_of(self._ask("GET", path, timeout_s=timeout_s)), "reservation_status")

    def _require_status(self, done: HttpResponse, path: str, status: str, timeout_s: float) -> None:
        """Return if the reservation has this status: as the response says or, if it does not, as another fetch does.

        Raises TaskRouterError: RequestRefused if the reservation can no longer reach it, else NotUnderstood.
        """
        try:
            now = member(document_of(done), "reservation_status")
        except errors.NotUnderstood:
            now = ""
        if now != status:
            now = self._reservation_status(path, timeout_s)
        if now in _REACHED.get(status, (status,)):
            return
        if now in _ENDED:
            raise errors.RequestRefused(f"the reservation is {now}, not {status}", code=errors.WRONG_STATE)
        raise errors.NotUnderstood(f"the reservation is still {now}, not {status}")

    def move_task(self, workspace_sid: str, task_sid: str, status: str, reason: str, *, timeout_s: float) -> None:
        """Move the task to `wrapping`, `completed` or `canceled`; never together with attributes.

        Source: docs/taskrouter.md, "Attributes".

        reason: what TaskRouter keeps as the task's reason, "" for none. Raises TaskRouterError; for a move that does
        not fit its state RequestRefused with the code errors.WRONG_STATE.
        """
        form = {"AssignmentStatus": status} | ({"Reason": reason} if reason else {})
        done = self._ask("POST", _task_path(workspace_sid, task_sid), form, timeout_s=timeout_s)
        member(document_of(done), "sid")

    def update_priority(
        self, workspace_sid: str, task_sid: str, priority: int, *, if_match: str, timeout_s: float
    ) -> None:
        """Set the task's priority unless somebody wrote since `if_match`. Raises TaskRouterError; StaleTask if so."""
        path = _task_path(workspace_sid, task_sid)
        done = self._ask("POST", path, {"Priority": str(priority)}, {"If-Match": if_match}, timeout_s=timeout_s)
        member(document_of(done), "sid")

    def create_task(self, workspace_sid: str, form: dict[str, str], *, timeout_s: float) -> str:
        """Create a task and return its SID. form: Attributes, WorkflowSid, TaskChannel, ... Raises TaskRouterError.

        Source: docs/taskrouter.md, "Tasks".

        A request without a readable answer may have made one all the same.
        """
        path = f"/Workspaces/{workspace_sid}/Tasks"
        return member(document_of(self._ask("POST", path, form, timeout_s=timeout_s)), "sid")

    def list_tasks(self, workspace_sid: str, query: dict[str, str], *, timeout_s: float) -> list[ListedTask]:
        """List the tasks that this query selects: AssignmentStatus, EvaluateTaskAttributes, ... Raises TaskRouterError.

        timeout_s: for all pages together.
        """
        path, deadline = f"/Workspaces/{workspace_sid}/Tasks?{urlencode(query)}", Deadline.after(timeout_s)
        pages = self._pages(path, "tasks", deadline.remaining_s)
        return [_listed(row) for rows in islice(pages, _MAX_PAGES) for row in rows]

    def list_events(
        self, workspace_sid: str, since: datetime, until: datetime, *, timeout_s: float
    ) -> Iterator[list[PastEvent | None]]:
        """Yield the events of a period, page by page, in TaskRouter's order; None for one that cannot be read.

        The period counts in whole seconds, both included. timeout_s: for each page. There may be no end to the pages:
        the caller limits how many it reads. Raises TaskRouterError; AnswerTooLong where a shorter period may do.
        """
        query = {"StartDate": _second(since), "EndDate": _second(until), "PageSize": _EVENTS_PER_PAGE}
        path = f"/Workspaces/{workspace_sid}/Events?{urlencode(query)}"
        for rows in self._pages(path, "events", lambda: timeout_s):
            yield [past_event(row) for row in rows]

    def _pages(self, path: str, key: str, timeout_s: Callable[[], float]) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of each page of a list. key: the name of the list in a page."""
        next_path: str | None = path
        while next_path is not None:
            response = self._ask("GET", next_path, timeout_s=timeout_s(), largest=MAX_PAGE_BYTES)
            document = document_of(response)
            yield rows_of(document, key)
            next_path = self._next_path(document)

    def worker_activity(self, workspace_sid: str, worker_sid: str, *, timeout_s: float) -> tuple[str, bool]:
        """SID of the activity that the worker is in, and whether it is one for work. Raises TaskRouterError."""
        worker = document_of(self._ask("GET", _worker_path(workspace_sid, worker_sid), timeout_s=timeout_s))
        return member(worker, "activity_sid"), worker.get("available") is True

    def move_worker(self, workspace_sid: str, worker_sid: str, activity_sid: str, *, timeout_s: float) -> None:
        """Move the worker to that activity. Raises TaskRouterError."""
        path = _worker_path(workspace_sid, worker_sid)
        done = self._ask("POST", path, {"ActivitySid": activity_sid}, timeout_s=timeout_s)
        member(document_of(done), "sid")

    def close(self) -> None:
        self._wire.close()

    def _ask(
        self,
        method: str,
        path: str,
        form: Fields | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout_s: float,
        largest: int | None = None,
    ) -> HttpResponse:
        """Send the request and return its answer if it is a 2xx, whatever its body. Raises TaskRouterError.

        timeout_s limits each wait; the callback's clock limits all of them. largest: bytes, where the answer may be
        longer than one about a single task.
        """
        with self._breaker.guard(_TROUBLE, _resting):
            return self._exchange(method, path, form, headers or {}, timeout_s, largest)

    def _exchange(
        self,
        method: str,
        path: str,
        form: Fields | None,
        headers: dict[str, str],
        timeout_s: float,
        largest: int | None,
    ) -> HttpResponse:
        sent = self._headers | headers
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        if timeout_s <= 0:
            raise errors.TaskRouterTooSlow("no time was left to ask")
        began_at, status = time.monotonic(), "out_of_time"  # unless it ends by itself, the clock has ended it
        try:
            body = urlencode(form).encode() if form is not None else None
            response = self._wire.exchange(
                method, self._prefix + path, sent, body, timeout_s=timeout_s, largest=largest
            )
            status = str(response.status)
        except NO_RESPONSE as exc:
            error = no_response(method, exc, timeout_s)
            is_slow = isinstance(error, errors.TaskRouterTooSlow)
            status = error.reason if is_slow else errors.TaskRouterUnreachable.reason
            raise error from exc
        finally:
            self._observe(Exchange(method, status, began_at, time.monotonic() - began_at))
        if 200 <= response.status < 300:
            return response
        raise error_of(method, response)

    def _next_path(self, document: dict[str, Any]) -> str | None:
        """Return the path of the next page, None at the end; of the address in the page only the path is used."""
        meta = document.get("meta")
        url = meta.get("next_page_url") if isinstance(meta, dict) else None
        if not isinstance(url, str):
            return None
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}"
        if not path.startswith(self._prefix + "/"):
            raise errors.NotUnderstood("the list goes on at an address that is not TaskRouter's")
        return path.removeprefix(self._prefix)


def _resting() -> errors.TaskRouterCircuitOpen:
    return errors.TaskRouterCircuitOpen("it failed several times in a row a moment ago")


def _task_path(workspace_sid: str, task_sid: str) -> str:
    return f"/Workspaces/{workspace_sid}/Tasks/{task_sid}"


def _reservation_path(workspace_sid: str, task_sid: str, reservation_sid: str) -> str:
    return f"{_task_path(workspace_sid, task_sid)}/Reservations/{reservation_sid}"


def _worker_path(workspace_sid: str, worker_sid: str) -> str:
    return f"/Workspaces/{workspace_sid}/Workers/{worker_sid}"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _listed(row: dict[str, Any]) -> ListedTask:
    return ListedTask(member(row, "sid"), member(row, "assignment_status"), str(row.get("date_updated") or ""))
