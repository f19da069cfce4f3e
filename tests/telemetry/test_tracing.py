"""Traces: only when asked for, and made of what was measured."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from enrich.domain.deadline import Step
from enrich.domain.deliveries import CallbackResult, Delivery, Exchange, FollowupAttempt
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome
from enrich.errors import SettingsError
from enrich.telemetry.tracing import Tracing, tracing_of

RESERVATION, TASK = "WR" + "ab" * 16, "WT" + "cd" * 16
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing-is-set"),
        pytest.param({"OTEL_SERVICE_NAME": "x"}, id="no-receiver"),
        pytest.param(ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, id="disabled"),
        pytest.param(ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, id="no-exporter"),
    ],
)
def test_without_a_receiver_there_are_no_traces(environ: dict[str, str]) -> None:
    assert tracing_of(environ) is None


def test_a_protocol_that_is_not_installed_is_told() -> None:
    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL.*grpc"):
        tracing_of(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_nothing_of_it_is_imported_unless_asked_for() -> None:
    code = "import app, sys; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


@pytest.fixture
def spans() -> Iterator[tuple[Tracing, Any]]:
    """Traces into memory, with the sampler and the ids that the service uses."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from enrich.telemetry.tracing import IdGenerator

    memory = InMemorySpanExporter()
    ids = IdGenerator()
    provider = TracerProvider(id_generator=cast("Any", ids))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    yield Tracing(provider, ids), memory
    provider.shutdown()


def delivery(**changes: Any) -> Delivery:
    from datetime import UTC, datetime

    values = {"reservation_sid": RESERVATION, "task_sid": TASK} | changes
    return Delivery(EntryKind.ASSIGNMENT, datetime(2026, 1, 1, tzinfo=UTC), **values)


def tried(entry_id: int = 7) -> FollowupAttempt:
    now = time.monotonic()
    return FollowupAttempt(FollowupKind.ENRICH, entry_id, TASK, RESERVATION, 2, "enriched", "", now - 0.2, 0.2)


def test_a_callback_has_its_steps_and_requests_beneath_it(spans: tuple[Tracing, Any]) -> None:
    tracing, memory = spans
    began = time.monotonic() - 1
    tracing.exchange(Exchange("GET", "503", began + 0.21, 0.1))
    tracing.exchange(Exchange("GET", "200", began + 0.5, 0.1))
    steps = (
        Step("receive", 100, "", began),
        Step("fetch", 150, "taskrouter_failed", began + 0.2),
        Step("fetch", 150, "", began + 0.49),
    )
    tracing.callback(delivery(), CallbackResult("{}", Outcome.ENRICHED, entry_id=7, steps=steps), began)
    by_name: dict[str, list[Any]] = {}
    for span in memory.get_finished_spans():
        by_name.setdefault(span.name, []).append(span)
    (root,) = by_name["assignment callback"]
    assert root.parent is None
    assert format(root.context.trace_id, "032x") == RESERVATION[2:]
    assert {span.parent.span_id for name in ("receive", "fetch") for span in by_name[name]} == {root.context.span_id}
    requests = {span.attributes["http.response.status_code"]: span for span in by_name["GET"]}
    fetches = by_name["fetch"]
    assert requests[503].parent.span_id == fetches[0].context.span_id
    assert requests[200].parent.span_id == fetches[1].context.span_id
    assert fetches[0].attributes["error.type"] == "taskrouter_failed"
    assert (requests[503].status.is_ok, requests[200].status.is_ok, root.status.is_ok) == (False, True, True)
    assert root.end_time - root.start_time == pytest.approx(1e9, rel=0.1)
    assert fetches[1].start_time - root.start_time == pytest.approx(0.49e9, abs=5e6)


def test_a_follow_up_is_linked_to_the_delivery_it_is_owed_for(spans: tuple[Tracing, Any]) -> None:
    tracing, memory = spans
    tracing.callback(delivery(), CallbackResult("{}", Outcome.OUT_OF_TIME, entry_id=7), time.monotonic())
    tracing.followup(tried(7))
    callback, late = memory.get_finished_spans()
    assert [(link.context.trace_id, link.context.span_id) for link in late.links] == [
        (callback.context.trace_id, callback.context.span_id)
    ]
    assert late.context.trace_id == callback.context.trace_id
    assert late.context.span_id != callback.context.span_id


def test_a_repeat_is_another_span_of_the_same_trace(spans: tuple[Tracing, Any]) -> None:
    tracing, memory = spans
    for is_repeat in (False, True, True):
        tracing.callback(delivery(), CallbackResult("{}", entry_id=7, is_repeat=is_repeat), time.monotonic())
    contexts = [span.context for span in memory.get_finished_spans()]
    assert len({context.trace_id for context in contexts}) == 1
    assert len({context.span_id for context in contexts}) == 3


def test_an_event_without_a_reservation_is_in_the_trace_of_its_task(spans: tuple[Tracing, Any]) -> None:
    tracing, memory = spans
    tracing.event(delivery(reservation_sid=None), 8, is_repeat=False, began_at=time.monotonic())
    tracing.event(delivery(reservation_sid=None, task_sid=None), 9, is_repeat=False, began_at=time.monotonic())
    first, second = memory.get_finished_spans()
    assert format(first.context.trace_id, "032x") == TASK[2:]
    assert second.context.trace_id not in (0, first.context.trace_id)


def test_what_another_piece_of_work_asked_is_not_told_as_this_ones(spans: tuple[Tracing, Any]) -> None:
    tracing, memory = spans
    tracing.exchange(Exchange("GET", "200", time.monotonic() - 60, 0.1))
    for _ in range(500):
        tracing.exchange(Exchange("GET", "200", time.monotonic() - 60, 0.1))
    tracing.followup(tried())
    tracing.followup(tried())
    assert [span.name for span in memory.get_finished_spans()] == ["follow-up enrich"] * 2
