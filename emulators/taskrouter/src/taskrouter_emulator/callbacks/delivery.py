"""Delivery of callbacks: signed, form-encoded, cut at their deadline, the fallback URL tried once, everything recorded.

Assignment callbacks: https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks (5 s in all, then the
fallback URL). Event callbacks: https://www.twilio.com/docs/taskrouter/api/event/reference (15 s). One retry, and only
if no connection came about, unless the URL's fragment says otherwise, see `overrides`.
"""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from urllib.parse import urldefrag, urlencode

from taskrouter_emulator.callbacks import connection_overrides as overrides
from taskrouter_emulator.callbacks.http_client import Answer, Connections, NoAnswer
from taskrouter_emulator.callbacks.signature import sign
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.instructions import RefusedInstruction, read_answer
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import AssignmentCallback, EventCallback, Outgoing

USER_AGENT = "TwilioProxy/1.1"
KEPT_DELIVERIES = 10_000
HELD_BACK_S = 1.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One request that was sent, and what came of it.

    kind: "assignment", "fallback" or "event". attempts: how often it was tried; the rest is about the last try.
    status, answer: None if there was no answer; then error says why.
    """

    seq: int
    kind: str
    url: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    attempts: int
    elapsed_ms: float
    status: int | None
    answer: str | None
    error: str | None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Deliveries:
    """Sends what the state owes, and remembers the newest 10,000 deliveries.

    Assignment and event callbacks have a pool each, so that a slow event receiver holds up no assignment.
    threads: how many requests of each sort may be under way at once.
    """

    def __init__(self, state: State, log: Log, auth_token: str, threads: int) -> None:
        self._state = state
        self._log = log
        self._auth_token = auth_token
        self._connections = Connections()
        self._assignments = ThreadPoolExecutor(threads, "emulator-assignment")
        self._events = ThreadPoolExecutor(threads, "emulator-event")
        self._records: deque[Delivery] = deque(maxlen=KEPT_DELIVERIES)
        self._seq = 0
        self._held_back: EventCallback | None = None
        self._under_way = 0
        self._changed = threading.Condition()
        self._stopped = False

    def send(self, outgoing: Outgoing) -> None:
        """Takes a callback over and returns at once."""
        switches = self._state.switches
        if isinstance(outgoing, AssignmentCallback):
            token = str(uuid.uuid4())
            self._submit(self._assignments, partial(self._deliver_assignment, outgoing, token))
            if switches.duplicate_callbacks:
                self._submit(self._assignments, partial(self._deliver_in_vain, outgoing, token))
        elif switches.lost_events:
            self._log.append("event_lost", event_type=outgoing.event_type, **outgoing.sids)
        elif switches.swapped_events:
            self._swap(outgoing)
        else:
            self._submit(self._events, partial(self._deliver_events, outgoing))

    def records(self, kind: str | None = None, *, after: int = 0) -> list[Delivery]:
        """What was delivered, in the order in which it ended: of this kind, with a `seq` greater than `after`."""
        with self._changed:
            return [record for record in self._records if record.seq > after and (kind is None or record.kind == kind)]

    def wait_until_idle(self, timeout: float = 5.0) -> None:
        """Returns once nothing is under way and nothing waits to be sent. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._under_way == 0, timeout):
                raise TimeoutError(f"{self._under_way} callbacks still under way after {timeout} s")

    def _swap(self, event: EventCallback) -> None:
        """Holds one event back until the next one has been answered, or nothing has come for a while."""
        with self._changed:
            before, self._held_back = self._held_back, event if self._held_back is None else None
        if before is None:
            self._state.after(HELD_BACK_S, partial(self._let_go, event))
        else:
            self._submit(self._events, partial(self._deliver_events, event, before))

    def _let_go(self, event: EventCallback) -> None:
        with self._changed:
            if self._held_back is not event:
                return
            self._held_back = None
        self._submit(self._events, partial(self._deliver_events, event))

    def stop(self) -> None:
        """Cuts what is under way, drops what waits, and ends the threads."""
        with self._changed:
            self._stopped = True
        self._connections.cut()
        self._assignments.shutdown(cancel_futures=True)
        self._events.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, deliver: Callable[[], object]) -> None:
        with self._changed:
            if self._stopped:
                return
            self._under_way += 1
            future = pool.submit(deliver)
        future.add_done_callback(self._done)

    def _deliver_assignment(self, callback: AssignmentCallback, token: str) -> None:
        answer = self._post("assignment", callback.url, callback.parameters, callback.sids, token)
        if self._carry_out(answer, callback) and callback.fallback_url is not None:
            fallback_token = str(uuid.uuid4())
            fallback = self._post("fallback", callback.fallback_url, callback.parameters, callback.sids, fallback_token)
            self._carry_out(fallback, callback)

    def _deliver_in_vain(self, callback: AssignmentCallback, token: str) -> None:
        """The same request once more; nobody listens to the answer."""
        self._post("assignment", callback.url, callback.parameters, callback.sids, token)

    def _deliver_events(self, *callbacks: EventCallback) -> None:
        """One after the other, each once its predecessor was answered; twice at once where the switch asks for it."""
        for callback in callbacks:
            sids, token = callback.sids | {"event_type": callback.event_type}, str(uuid.uuid4())
            deliver = partial(self._post, "event", callback.url, callback.parameters, sids, token)
            if self._state.switches.duplicate_events:
                self._submit(self._events, deliver)
            deliver()

    def _carry_out(self, answer: Answer | None, callback: AssignmentCallback) -> bool:
        """Does what the answer asks for; whether the fallback URL is to be asked instead."""
        if answer is None:
            return True
        reading = read_answer(
            answer.status,
            answer.content_type,
            answer.body,
            no_content_is_an_answer=self._state.switches.no_content_is_an_answer,
        )
        if reading.alert is not None:
            self._alert(reading.alert, callback)
        if reading.instruction is not None:
            try:
                self._state.reservations.execute(callback.reservation, reading.instruction, via="callback")
            except RefusedInstruction as refused:
                self._alert(refused, callback)
        return reading.use_fallback

    def _alert(self, refused: RefusedInstruction, callback: AssignmentCallback) -> None:
        self._log.append("alert", code=refused.code, alert="instruction", message=refused.message, **callback.sids)

    def _post(
        self, kind: str, url: str, parameters: Mapping[str, str], sids: Mapping[str, str], token: str
    ) -> Answer | None:
        """The answer, or None if there was none in time; either is recorded and logged."""
        sent, answered, failed = _LOG_KINDS[kind]
        headers = self._headers(url, parameters, token)
        body = urlencode(parameters, errors="surrogatepass").encode()
        self._log.append(sent, url=url, **sids)
        started = time.monotonic()
        asked = overrides.read(url)
        ends_at = started + min(self._deadline_s(kind), asked.total_s)
        answer, error, attempts, trying = None, None, 0, True
        while trying:
            attempts += 1
            limits = {"connect_s": asked.connect_s, "read_s": asked.read_s}
            try:
                answer, error = self._connections.post(urldefrag(url).url, body, headers, ends_at, **limits), None
                outcome = f"{answer.status // 100}xx"
            except NoAnswer as problem:
                answer, error = None, str(problem)
                outcome = ("rt" if problem.timed_out else "") if problem.connected else "ct"
            trying = outcome in asked.retry_on and attempts <= asked.retries and time.monotonic() < ends_at
        elapsed_ms = round((time.monotonic() - started) * 1000, 3)
        if answer is not None:
            self._log.append(answered, status=answer.status, elapsed_ms=elapsed_ms, answer=answer.body, **sids)
        else:
            self._log.append(failed, error=error, elapsed_ms=elapsed_ms, **sids)
        self._record(kind, url, parameters, headers, attempts, elapsed_ms, answer, error)
        return answer

    def _deadline_s(self, kind: str) -> float:
        switches = self._state.switches
        return switches.event_deadline_s if kind == "event" else switches.assignment_deadline_s

    def _headers(self, url: str, parameters: Mapping[str, str], token: str) -> dict[str, str]:
        return {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "Accept": "*/*",
            "User-Agent": USER_AGENT,
            "X-Twilio-Signature": sign(url, parameters, self._auth_token),
            "I-Twilio-Idempotency-Token": token,
            "Connection": "close",
        }

    def _record(
        self,
        kind: str,
        url: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        attempts: int,
        elapsed_ms: float,
        answer: Answer | None,
        error: str | None,
    ) -> None:
        with self._changed:
            self._seq += 1
            self._records.append(
                Delivery(
                    seq=self._seq,
                    kind=kind,
                    url=url,
                    parameters=parameters,
                    headers=headers,
                    attempts=attempts,
                    elapsed_ms=elapsed_ms,
                    status=answer.status if answer else None,
                    answer=answer.body if answer else None,
                    error=None if answer else error,
                )
            )

    def _done(self, future: Future[object]) -> None:
        if not future.cancelled() and (problem := future.exception()) is not None:
            _logger.error("a callback could not be delivered: a bug of the emulator", exc_info=problem)
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()


_LOG_KINDS = {
    "assignment": (
        "assignment_callback_sent",
        "assignment_callback_answered",
        "assignment_callback_failed",
    ),
    "fallback": ("fallback_sent", "fallback_answered", "fallback_failed"),
    "event": ("event_sent", "event_answered", "event_failed"),
}
