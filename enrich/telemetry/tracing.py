"""Traces, for who has set OpenTelemetry's usual variables; without them nothing of it is even imported.

A callback is one span, its steps and the requests to TaskRouter's API are spans beneath it. Spans are made when the
callback is over, from what was measured anyway, so that the stories know nothing of them and an answer waits for none.

A trace is found without searching: its id is the ReservationSid's 32 hexadecimal digits (the TaskSid's, where there is
no reservation). Repeats, the fallback, events and follow-ups of one reservation are in that one trace, minutes apart; a
follow-up is linked to the span of the delivery that it is owed for, whose id is made of the journal's entry.

`traceparent` is not sent to TaskRouter: it continues no trace of ours, and it need not know of them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from enrich import errors
from enrich.domain.deadline import Step
from enrich.domain.deliveries import CallbackResult, Delivery, Exchange, FollowupAttempt
from enrich.domain.outcomes import Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

SERVICE = "taskrouter-enrich"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# A batch is encoded in one go, and callbacks wait meanwhile: 64 spans take a millisecond.
_BATCH = 64
# Of one callback, or follow-up; what retries without end is cut, not kept.
_MAX_EXCHANGES = 100


def tracing_of(environ: Mapping[str, str]) -> Tracing | None:
    """Traces to the OTLP receiver that these variables name; None where none is named, or where they say to do without.

    environ: the process's own: the exporter reads its headers, certificates and time-outs from there, too. Raises
    SettingsError for a protocol that is not installed.
    """
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if is_off or not any(environ.get(name) for name in _ENDPOINTS):
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise errors.SettingsError(f"{_PROTOCOLS[1]}: {protocol} is not supported; http/protobuf is")
    # Imported here, in the process that uses it: it is large, and its thread has to be one of gevent's.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    given = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": SERVICE}
    ids: Any = _Ids()  # in all but name an IdGenerator, which is not imported before it is needed
    provider = TracerProvider(resource=Resource.create(given), id_generator=ids)
    batch = None if environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") else _BATCH
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_export_batch_size=batch))
    return Tracing(provider)


class _Ids:
    """The ids of spans: by chance, unless the next one is given."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        self._by_chance = RandomIdGenerator()
        self.next_trace: int | None = None
        self.next_span: int | None = None

    def generate_trace_id(self) -> int:
        given, self.next_trace = self.next_trace, None
        return given or self._by_chance.generate_trace_id()

    def generate_span_id(self) -> int:
        given, self.next_span = self.next_span, None
        return given or self._by_chance.generate_span_id()

    def is_trace_id_random(self) -> bool:
        return True  # SIDs are


class Tracing:
    """The traces of one process. Safe to share between greenlets; each collects the exchanges of its own work."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._ids: _Ids = provider.id_generator  # type: ignore[assignment]  # `tracing_of` made it
        self._tracer = provider.get_tracer("enrich")
        self._exchanges: ContextVar[list[Exchange]] = ContextVar("exchanges")

    def exchange(self, exchange: Exchange) -> None:
        """A request of this very greenlet is over; it becomes a span of whatever is told next."""
        exchanges = self._exchanges.get(None)
        if exchanges is None:
            self._exchanges.set([exchange])
        elif len(exchanges) < _MAX_EXCHANGES:
            exchanges.append(exchange)

    def callback(self, delivery: Delivery, answered: CallbackResult, began_at: float) -> None:
        """A callback was answered just now. began_at: when it arrived, of `time.monotonic`."""
        from opentelemetry.trace import SpanKind

        told = {
            **_sids(delivery.workspace_sid, delivery.task_sid, delivery.reservation_sid),
            "enrich.entry": answered.entry_id or 0,
            "enrich.outcome": answered.outcome or "repeat",
            "enrich.reason": answered.reason,
            "enrich.match": answered.match,
            "enrich.is_repeat": answered.is_repeat,
        }
        entry_id = None if answered.is_repeat else answered.entry_id
        self._ids_of(delivery.reservation_sid, delivery.task_sid, entry_id)
        span = self._begin(f"{delivery.kind} callback", began_at, told, kind=SpanKind.SERVER)
        self._finish(span, began_at, answered.steps, "failed" if answered.outcome is Outcome.FAILED else "")

    def event(self, delivery: Delivery, entry_id: int, *, is_repeat: bool, began_at: float) -> None:
        """An event was kept just now."""
        from opentelemetry.trace import SpanKind

        told = {
            **_sids(delivery.workspace_sid, delivery.task_sid, delivery.reservation_sid),
            "enrich.entry": entry_id,
            "enrich.event_type": delivery.event_type,
            "enrich.is_repeat": is_repeat,
        }
        self._ids_of(delivery.reservation_sid, delivery.task_sid, None if is_repeat else entry_id)
        span = self._begin("event callback", began_at, told, kind=SpanKind.SERVER)
        self._finish(span, began_at)

    def followup(self, tried: FollowupAttempt) -> None:
        """A follow-up was tried just now."""
        from opentelemetry.trace import Link, SpanContext, SpanKind

        told = {
            **_sids("", tried.task_sid, tried.reservation_sid),
            "enrich.entry": tried.entry_id,
            "enrich.outcome": tried.outcome,
            "enrich.reason": tried.reason,
            "enrich.attempts": tried.attempts,
        }
        trace_id = self._ids_of(tried.reservation_sid, tried.task_sid, None)
        cause = SpanContext(trace_id, _span_id(tried.entry_id), is_remote=True)
        span = self._begin(f"follow-up {tried.kind}", tried.began_at, told, SpanKind.CONSUMER, (Link(cause),))
        self._finish(span, tried.began_at, failed="failed" if tried.outcome == Outcome.FAILED else "")

    def close(self) -> None:
        """Sends what was not sent yet, for a few seconds at the most."""
        self._provider.shutdown()

    def _ids_of(self, reservation_sid: str | None, task_sid: str | None, entry_id: int | None) -> int:
        """The trace of this reservation or task, which the next span is in; and that span's id, where it has an entry.

        Without either SID: a trace by chance.
        """
        sid = reservation_sid or task_sid
        trace_id = int(sid[2:], 16) if sid else 0
        self._ids.next_trace = trace_id or self._ids.generate_trace_id()
        self._ids.next_span = _span_id(entry_id) if entry_id is not None else None
        return self._ids.next_trace

    def _begin(
        self, name: str, began_at: float, told: Mapping[str, Any], kind: Any, links: tuple[Any, ...] = ()
    ) -> Span:
        from opentelemetry.context import Context

        return self._tracer.start_span(
            name, context=Context(), kind=kind, attributes=told, links=links, start_time=_moment(began_at)
        )

    def _finish(self, span: Span, began_at: float, steps: tuple[Step, ...] = (), failed: str = "") -> None:
        """Ends the span now, with the steps and this greenlet's exchanges beneath it."""
        exchanges = [each for each in self._exchanges.get([]) if each.began_at >= began_at]
        self._exchanges.set([])
        for step in steps:
            ended_at = step.began_at + step.elapsed_ms / 1000
            of_step = self._child(span, step.name, step.began_at, {})
            for exchange in [each for each in exchanges if step.began_at <= each.began_at <= ended_at]:
                exchanges.remove(exchange)
                self._request(of_step, exchange)
            _end(of_step, ended_at, step.failed)
        for exchange in exchanges:
            self._request(span, exchange)
        _end(span, time.monotonic(), failed)

    def _request(self, parent: Span, exchange: Exchange) -> None:
        from opentelemetry.trace import SpanKind

        has_answer = exchange.status.isdecimal()
        told: dict[str, Any] = {"http.request.method": exchange.method, "peer.service": "taskrouter"}
        told |= {"http.response.status_code": int(exchange.status)} if has_answer else {}
        span = self._child(parent, exchange.method, exchange.began_at, told, SpanKind.CLIENT)
        is_well = has_answer and int(exchange.status) < 400
        _end(span, exchange.began_at + exchange.elapsed_s, "" if is_well else exchange.status)

    def _child(self, parent: Span, name: str, began_at: float, told: Mapping[str, Any], kind: Any = None) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        return self._tracer.start_span(
            name,
            context=set_span_in_context(parent),
            kind=kind or SpanKind.INTERNAL,
            attributes=told,
            start_time=_moment(began_at),
        )


def _end(span: Span, ended_at: float, failed: str) -> None:
    """failed: the reason, a slug; "" when it went well."""
    from opentelemetry.trace import Status, StatusCode

    if failed:
        span.set_attribute("error.type", failed)
        span.set_status(Status(StatusCode.ERROR))
    span.end(_moment(ended_at))


def _moment(at: float) -> int:
    """Nanoseconds since 1970 of a moment of `time.monotonic`."""
    return time.time_ns() - int((time.monotonic() - at) * 1e9)


def _span_id(entry_id: int) -> int:
    return int.from_bytes(hashlib.sha256(f"entry {entry_id}".encode()).digest()[:8])


def _sids(workspace_sid: str, task_sid: str | None, reservation_sid: str | None) -> dict[str, str]:
    named = {"workspace": workspace_sid, "task": task_sid, "reservation": reservation_sid}
    return {f"twilio.{name}_sid": sid for name, sid in named.items() if sid}
