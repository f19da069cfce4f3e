"""Delivery of callbacks: signed, form-encoded, under a deadline, with the fallback URL, and recorded.

Assignment callbacks: https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks (5 s in total, then the
fallback URL once). Event callbacks: https://www.twilio.com/docs/taskrouter/api/event/reference (15 s). A request is
retried once, and only if no connection was made, unless the URL's fragment overrides that (`connection_overrides`).
Event Streams: https://www.twilio.com/docs/events/webhook-quickstart (JSON, 5 s, no overrides, at least once).
"""

import hashlib
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from urllib.parse import urlencode, urlsplit

from taskrouter_emulator.callbacks import connection_overrides
from taskrouter_emulator.callbacks.address import CallbackAddress
from taskrouter_emulator.callbacks.address import parse as parse_address
from taskrouter_emulator.callbacks.http_client import CallbackClient, HttpResponse, NoResponse
from taskrouter_emulator.callbacks.signature import sign
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.engine.store import Outgoing
from taskrouter_emulator.model.event_streams import PendingStreamDelivery
from taskrouter_emulator.model.instructions import RefusedInstruction, interpret_response
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import PendingAssignmentCallback, PendingEventCallback

USER_AGENT = "TwilioProxy/1.1"
MAX_DELIVERIES = 10_000
MAX_HOLD_S = 1.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SentCallback:
    """One callback that was sent, and its response.

    kind: "assignment", "fallback", "event" or "stream". parameters: of the form, {} for a stream. attempts: the number
    of requests; the other fields are about the last one. status, answer: None without a response; then error has the
    reason.
    """

    seq: int
    kind: str
    url: str
    parameters: Mapping[str, str]
    body: str
    headers: Mapping[str, str]
    attempts: int
    elapsed_ms: float
    status: int | None
    answer: str | None
    error: str | None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Deliveries:
    """Sends callbacks, and keeps a record of the newest 10,000.

    Assignment and event callbacks have a thread pool each, so that a slow event receiver delays no assignment.
    threads: the number of callbacks of each sort that may be in progress at once.
    """

    def __init__(self, state: State, log: Log, auth_token: str, threads: int) -> None:
        self._state = state
        self._log = log
        self._auth_token = auth_token
        self._client = CallbackClient()
        self._assignments = ThreadPoolExecutor(threads, "emulator-assignment")
        self._events = ThreadPoolExecutor(threads, "emulator-event")
        self._records: deque[SentCallback] = deque(maxlen=MAX_DELIVERIES)
        self._seq = 0
        self._held_back: PendingEventCallback | None = None
        self._in_progress = 0
        self._changed = threading.Condition()
        self._stopped = False

    def send(self, callback: Outgoing) -> None:
        """Queue a callback, and return at once."""
        switches = self._state.switches
        if isinstance(callback, PendingAssignmentCallback):
            token = str(uuid.uuid4())
            self._submit(self._assignments, partial(self._deliver_assignment, callback, token))
            if switches.duplicate_callbacks:
                self._submit(self._assignments, partial(self._deliver_duplicate, callback, token))
        elif isinstance(callback, PendingStreamDelivery):
            self._send_stream(callback)
        elif switches.lost_events:
            self._log.append("event_lost", event_type=callback.event_type, **callback.sids)
        elif switches.swapped_events:
            self._swap(callback)
        else:
            self._submit(self._events, partial(self._deliver_events, callback))

    def records(self, kind: str | None = None, *, after: int = 0) -> list[SentCallback]:
        """Return the callbacks of this kind with a `seq` greater than `after`, in the order in which they ended."""
        with self._changed:
            return [record for record in self._records if record.seq > after and (kind is None or record.kind == kind)]

    def wait_until_idle(self, timeout: float = 5.0) -> None:
        """Wait until no callback is queued or in progress. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._in_progress == 0, timeout):
                raise TimeoutError(f"{self._in_progress} callbacks still in progress after {timeout} s")

    def _send_stream(self, delivery: PendingStreamDelivery) -> None:
        """Queue events for a sink; Event Streams delivers at least once, in no order."""
        switches = self._state.switches
        if switches.lost_events:
            self._log.append("stream_lost", **delivery.sids)
            return
        for _ in range(2 if switches.duplicate_events else 1):
            self._submit(self._events, partial(self._deliver_stream, delivery))

    def _deliver_stream(self, delivery: PendingStreamDelivery) -> None:
        """Send events to their sink; unless the response is 2xx, try again later, `stream_retries` times."""
        switches = self._state.switches
        events = delivery.events[::-1] if switches.swapped_events else delivery.events
        alone = len(events) == 1 and not delivery.sink.batch_events and switches.single_streamed_event_is_an_object
        body = json.dumps(events[0] if alone else events, separators=(",", ":")).encode()
        request = self._stream_request(delivery.sink.destination, body)
        response = self._post("stream", request, delivery.sids | {"events": len(events)})
        if response is not None and response.status // 100 == 2:
            return
        if delivery.attempt <= switches.stream_retries:
            again = replace(delivery, attempt=delivery.attempt + 1)
            self._state.after(2.0 ** (delivery.attempt - 1), lambda: self._send_stream(again))

    def _swap(self, event: PendingEventCallback) -> None:
        """Hold every other event back until the next one was answered, or until MAX_HOLD_S has passed."""
        with self._changed:
            held_event, self._held_back = self._held_back, event if self._held_back is None else None
        if held_event is None:
            self._state.after(MAX_HOLD_S, partial(self._release_held, event))
        else:
            self._submit(self._events, partial(self._deliver_events, event, held_event))

    def _release_held(self, event: PendingEventCallback) -> None:
        with self._changed:
            if self._held_back is not event:
                return
            self._held_back = None
        self._submit(self._events, partial(self._deliver_events, event))

    def stop(self) -> None:
        """Abort what is in progress, drop what is queued, and end the threads."""
        with self._changed:
            self._stopped = True
        self._client.abort()
        self._assignments.shutdown(cancel_futures=True)
        self._events.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, deliver: Callable[[], object]) -> None:
        with self._changed:
            if self._stopped:
                return
            self._in_progress += 1
            future = pool.submit(deliver)
        future.add_done_callback(self._done)

    def _deliver_assignment(self, callback: PendingAssignmentCallback, token: str) -> None:
        response = self._post("assignment", self._form_request(callback.url, callback.parameters, token), callback.sids)
        if self._execute(response, callback) and callback.fallback_url is not None:
            request = self._form_request(callback.fallback_url, callback.parameters, str(uuid.uuid4()))
            fallback = self._post("fallback", request, callback.sids)
            self._execute(fallback, callback)

    def _deliver_duplicate(self, callback: PendingAssignmentCallback, token: str) -> None:
        """Send the request again and ignore the response."""
        self._post("assignment", self._form_request(callback.url, callback.parameters, token), callback.sids)

    def _deliver_events(self, *callbacks: PendingEventCallback) -> None:
        """Send events one after the other, each after the previous response; twice at once with `duplicate_events`."""
        for callback in callbacks:
            request = self._form_request(callback.url, callback.parameters, str(uuid.uuid4()))
            deliver = partial(self._post, "event", request, callback.sids | {"event_type": callback.event_type})
            if self._state.switches.duplicate_events:
                self._submit(self._events, deliver)
            deliver()

    def _execute(self, response: HttpResponse | None, callback: PendingAssignmentCallback) -> bool:
        """Execute the response's instruction; return whether to try the fallback URL."""
        if response is None:
            return True
        reading = interpret_response(
            response.status,
            response.content_type,
            response.body,
            no_content_is_an_answer=self._state.switches.no_content_is_an_answer,
        )
        if reading.alert is not None:
            self._log_alert(reading.alert, callback)
        if reading.instruction is not None:
            try:
                self._state.reservations.execute(callback.reservation, reading.instruction, via="callback")
            except RefusedInstruction as refusal:
                self._log_alert(refusal, callback)
        return reading.use_fallback

    def _log_alert(self, refusal: RefusedInstruction, callback: PendingAssignmentCallback) -> None:
        self._log.append("alert", code=refusal.code, alert="instruction", message=refusal.message, **callback.sids)

    def _post(self, kind: str, request: "_Request", sids: Mapping[str, object]) -> HttpResponse | None:
        """Send one callback with its retries, and record it; return the response, or None if there was none in time."""
        kind_sent, kind_answered, kind_failed = _LOG_KINDS[kind]
        self._log.append(kind_sent, url=request.url, **sids)
        started = time.monotonic()
        overrides = connection_overrides.parse("" if kind == "stream" else request.url)
        ends_at = started + min(self._deadline_s(kind), overrides.total_s)
        response, error, attempts, is_retrying = None, None, 0, True
        while is_retrying:
            attempts += 1
            limits = {"connect_s": overrides.connect_s, "read_s": overrides.read_s}
            try:
                response = self._client.post(request.target, request.body, request.headers, ends_at, **limits)
                error = None
                outcome = f"{response.status // 100}xx"
            except NoResponse as exc:
                response, error = None, str(exc)
                outcome = ("rt" if exc.timed_out else "") if exc.connected else "ct"
            is_retrying = outcome in overrides.retry_on and attempts <= overrides.retries and time.monotonic() < ends_at
        elapsed_ms = round((time.monotonic() - started) * 1000, 3)
        if response is not None:
            self._log.append(kind_answered, status=response.status, elapsed_ms=elapsed_ms, answer=response.body, **sids)
        else:
            self._log.append(kind_failed, error=error, elapsed_ms=elapsed_ms, **sids)
        self._record(kind, request, attempts, elapsed_ms, response, error)
        return response

    def _deadline_s(self, kind: str) -> float:
        switches = self._state.switches
        deadlines_s = {"event": switches.event_deadline_s, "stream": switches.stream_deadline_s}
        return deadlines_s.get(kind, switches.assignment_deadline_s)

    def _form_request(self, url: str, parameters: Mapping[str, str], token: str) -> "_Request":
        address = _address(url)
        signature = sign(address.url, parameters, self._auth_token)
        headers = _headers(address, "application/x-www-form-urlencoded; charset=UTF-8", signature, token)
        body = urlencode(parameters, errors="surrogatepass").encode()
        return _Request(url, address.url, parameters, body, headers)

    def _stream_request(self, url: str, body: bytes) -> "_Request":
        """Return the request of a sink: signed over the address alone, which carries the body's hash."""
        address = _address(url)
        digest = hashlib.sha256(body).hexdigest()
        target = f"{address.url}{'&' if urlsplit(address.url).query else '?'}bodySHA256={digest}"
        signature = sign(target, {}, self._auth_token)
        headers = _headers(address, "application/json", signature, str(uuid.uuid4()))
        return _Request(url, target, {}, body, headers)

    def _record(
        self,
        kind: str,
        request: "_Request",
        attempts: int,
        elapsed_ms: float,
        response: HttpResponse | None,
        error: str | None,
    ) -> None:
        with self._changed:
            self._seq += 1
            self._records.append(
                SentCallback(
                    seq=self._seq,
                    kind=kind,
                    url=request.url,
                    parameters=request.parameters,
                    body=request.body.decode(),
                    headers=request.headers,
                    attempts=attempts,
                    elapsed_ms=elapsed_ms,
                    status=response.status if response else None,
                    answer=response.body if response else None,
                    error=None if response else error,
                )
            )

    def _done(self, future: Future[object]) -> None:
        if not future.cancelled() and (exc := future.exception()) is not None:
            _logger.error("internal error: a callback could not be delivered", exc_info=exc)
        with self._changed:
            self._in_progress -= 1
            self._changed.notify_all()


@dataclass(frozen=True)
class _Request:
    """One request. url: as configured; target: as requested and signed."""

    url: str
    target: str
    parameters: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]


def _headers(address: CallbackAddress, content_type: str, signature: str, token: str) -> dict[str, str]:
    authorization = {"Authorization": address.authorization} if address.authorization is not None else {}
    return authorization | {
        "Content-Type": content_type,
        "Accept": "*/*",
        "User-Agent": USER_AGENT,
        "X-Twilio-Signature": signature,
        "I-Twilio-Idempotency-Token": token,
        "Connection": "close",
    }


def _address(url: str) -> CallbackAddress:
    """Return the address to request; one that is no URL stays as it is, and fails as such."""
    try:
        return parse_address(url)
    except ValueError:
        return CallbackAddress(url, None)


_LOG_KINDS = {
    "assignment": (
        "assignment_callback_sent",
        "assignment_callback_answered",
        "assignment_callback_failed",
    ),
    "fallback": ("fallback_sent", "fallback_answered", "fallback_failed"),
    "event": ("event_sent", "event_answered", "event_failed"),
    "stream": ("stream_sent", "stream_answered", "stream_failed"),
}
