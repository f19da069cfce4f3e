"""Traces, if OpenTelemetry's usual variables are set; otherwise nothing of OpenTelemetry is imported.

A callback is one span; its steps and its requests to TaskRouter's API are child spans. Spans are created after the
callback, from times that were measured anyway, so the flows do not know of them and no answer waits for them.

A trace needs no search: its id is the ReservationSid's 32 hexadecimal digits (the TaskSid's if there is no
reservation). Repeats, the fallback, events and follow-ups of one reservation are in that one trace, minutes apart. A
follow-up is linked to the span of the delivery that caused it; that span's id is derived from the journal entry.

`traceparent` is not sent to TaskRouter, which continues no trace of ours.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

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
# Callbacks wait while a batch is encoded: 64 spans take a millisecond.
_BATCH = 64
# Limit for one callback or follow-up, so that endless retries do not fill the memory.
_MAX_EXCHANGES = 100


def tracing_of(environ: Mapping[str, str]) -> Tracing | None:
    """Return tracing to the OTLP receiver that these variables name; None if there is none, or tracing is disabled.

    environ: the process's own, from which the exporter also reads headers, certificates and time-outs. Raises
    SettingsError for a protocol that is not installed.
    """
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if is_off or not any(environ.get(name) for name in _ENDPOINTS):
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise errors.SettingsError(f"{_PROTOCOLS[1]}: {protocol} is not supported; http/protobuf is")
    # Imported here, in the process that uses it: the SDK is large, and its thread has to be one of gevent's.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    attributes = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": SERVICE}
    # It has the methods of an IdGenerator; that class is not imported before it is needed.
    ids = IdGenerator()
    provider = TracerProvider(resource=Resource.create(attributes), id_generator=cast("Any", ids))
    batch = None if environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") else _BATCH
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_export_batch_size=batch))
    return Tracing(provider, ids)


class IdGenerator:
    """An id generator: random ids, unless the next one has been set."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        self._random = RandomIdGenerator()
        self.next_trace: int | None = None
        self.next_span: int | None = None

    def generate_trace_id(self) -> int:
        trace_id, self.next_trace = self.next_trace, None
        return trace_id or self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        span_id, self.next_span = self.next_span, None
        return span_id or self._random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        # SIDs are random.
        return True


class Tracing:
    """The traces of one process. Safe to share between greenlets; each collects the exchanges of its own work.

    ids: the id generator of this provider.
    """

    def __init__(self, provider: TracerProvider, ids: IdGenerator) -> None:
        self._provider = provider
        self._ids = ids
        self._tracer = provider.get_tracer("enrich")
        self._exchanges: ContextVar[list[Exchange]] = ContextVar("exchanges")

    def exchange(self, exchange: Exchange) -> None:
        """Keep a finished request of this greenlet; it becomes a child of the next callback, event or follow-up."""
        exchanges = self._exchanges.get(None)
        if exchanges is None:
            self._exchanges.set([exchange])
        elif len(exchanges) < _MAX_EXCHANGES:
            exchanges.append(exchange)

    def callback(self, delivery: Delivery, result: CallbackResult, began_at: float) -> None:
        """Record a callback that was answered just now. began_at: its arrival, on the clock of `time.monotonic`."""
        from opentelemetry.trace import SpanKind

        attributes = {
            **_sids(delivery.workspace_sid, delivery.task_sid, delivery.reservation_sid),
            "enrich.entry": result.entry_id or 0,
            "enrich.outcome": result.outcome or "repeat",
            "enrich.reason": result.reason,
            "enrich.match": result.match,
            "enrich.is_repeat": result.is_repeat,
        }
        entry_id = None if result.is_repeat else result.entry_id
        self._set_next_ids(delivery.reservation_sid, delivery.task_sid, entry_id)
        span = self._begin(f"{delivery.kind} callback", began_at, attributes, kind=SpanKind.SERVER)
        self._finish(span, began_at, result.steps, "failed" if result.outcome is Outcome.FAILED else "")

    def event(self, delivery: Delivery, entry_id: int, *, is_repeat: bool, began_at: float) -> None:
        """Record an event that was stored just now."""
        from opentelemetry.trace import SpanKind

        attributes = {
            **_sids(delivery.workspace_sid, delivery.task_sid, delivery.reservation_sid),
            "enrich.entry": entry_id,
            "enrich.event_type": delivery.event_type,
            "enrich.is_repeat": is_repeat,
        }
        self._set_next_ids(delivery.reservation_sid, delivery.task_sid, None if is_repeat else entry_id)
        span = self._begin("event callback", began_at, attributes, kind=SpanKind.SERVER)
        self._finish(span, began_at)

    def followup(self, attempt: FollowupAttempt) -> None:
        """Record a follow-up that was attempted just now."""
        from opentelemetry.trace import Link, SpanContext, SpanKind

        attributes = {
            **_sids("", attempt.task_sid, attempt.reservation_sid),
            "enrich.entry": attempt.entry_id,
            "enrich.outcome": attempt.outcome,
            "enrich.reason": attempt.reason,
            "enrich.attempts": attempt.attempts,
        }
        trace_id = self._set_next_ids(attempt.reservation_sid, attempt.task_sid, None)
        cause = SpanContext(trace_id, _span_id(attempt.entry_id), is_remote=True)
        span = self._begin(f"follow-up {attempt.kind}", attempt.began_at, attributes, SpanKind.CONSUMER, (Link(cause),))
        self._finish(span, attempt.began_at, failed="failed" if attempt.outcome == Outcome.FAILED else "")

    def close(self) -> None:
        """Send the remaining spans, for a few seconds at most."""
        self._provider.shutdown()

    def _set_next_ids(self, reservation_sid: str | None, task_sid: str | None, entry_id: int | None) -> int:
        """Set the ids of the next span, and return its trace id: that of the reservation, or of the task.

        The span's id comes from the entry, if it has one. Without either SID the trace id is random.
        """
        sid = reservation_sid or task_sid
        trace_id = int(sid[2:], 16) if sid else 0
        self._ids.next_trace = trace_id or self._ids.generate_trace_id()
        self._ids.next_span = _span_id(entry_id) if entry_id is not None else None
        return self._ids.next_trace

    def _begin(
        self, name: str, began_at: float, attributes: Mapping[str, Any], kind: Any, links: tuple[Any, ...] = ()
    ) -> Span:
        from opentelemetry.context import Context

        return self._tracer.start_span(
            name, context=Context(), kind=kind, attributes=attributes, links=links, start_time=_epoch_ns(began_at)
        )

    def _finish(self, span: Span, began_at: float, steps: tuple[Step, ...] = (), failed: str = "") -> None:
        """End the span now, with the steps and this greenlet's exchanges as its children."""
        exchanges = [exchange for exchange in self._exchanges.get([]) if exchange.began_at >= began_at]
        self._exchanges.set([])
        for step in steps:
            ended_at = step.began_at + step.elapsed_ms / 1000
            step_span = self._child(span, step.name, step.began_at, {})
            for exchange in [one for one in exchanges if step.began_at <= one.began_at <= ended_at]:
                exchanges.remove(exchange)
                self._request(step_span, exchange)
            _end(step_span, ended_at, step.failed)
        for exchange in exchanges:
            self._request(span, exchange)
        _end(span, time.monotonic(), failed)

    def _request(self, parent: Span, exchange: Exchange) -> None:
        from opentelemetry.trace import SpanKind

        has_response = exchange.status.isdecimal()
        attributes: dict[str, Any] = {"http.request.method": exchange.method, "peer.service": "taskrouter"}
        attributes |= {"http.response.status_code": int(exchange.status)} if has_response else {}
        span = self._child(parent, exchange.method, exchange.began_at, attributes, SpanKind.CLIENT)
        is_ok = has_response and int(exchange.status) < 400
        _end(span, exchange.began_at + exchange.elapsed_s, "" if is_ok else exchange.status)

    def _child(self, parent: Span, name: str, began_at: float, attributes: Mapping[str, Any], kind: Any = None) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        return self._tracer.start_span(
            name,
            context=set_span_in_context(parent),
            kind=kind or SpanKind.INTERNAL,
            attributes=attributes,
            start_time=_epoch_ns(began_at),
        )


def _end(span: Span, ended_at: float, failed: str) -> None:
    """End a span. failed: the slug of the reason; "" if it succeeded."""
    from opentelemetry.trace import Status, StatusCode

    if failed:
        span.set_attribute("error.type", failed)
        span.set_status(Status(StatusCode.ERROR))
    span.end(_epoch_ns(ended_at))


def _epoch_ns(monotonic_s: float) -> int:
    """Return the nanoseconds since 1970 for a time of `time.monotonic`."""
    return time.time_ns() - int((time.monotonic() - monotonic_s) * 1e9)


def _span_id(entry_id: int) -> int:
    return int.from_bytes(hashlib.sha256(f"entry {entry_id}".encode()).digest()[:8])


def _sids(workspace_sid: str, task_sid: str | None, reservation_sid: str | None) -> dict[str, str]:
    sids = {"workspace": workspace_sid, "task": task_sid, "reservation": reservation_sid}
    return {f"twilio.{name}_sid": sid for name, sid in sids.items() if sid}
