"""Metrics: all of them in one table, and the functions that count.

Names, meaning and labels stand in `TABLE`; the dashboard and the alert rules in docs/operations/ name these and no
others (a test sees to it). Every label has a short closed list of values: what is on no list is counted as `other`, so
that nothing from outside can make series without end, and nothing personal can get in.

Counting is the edge's business: the stories return what they did, the adapters tell a callable that they were given.
Under gunicorn several processes count into files of one directory (multiprocess.py); any of them can report all counts.
What the database knows better than any process is looked up when somebody asks (`Figures`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from enrich import errors
from enrich.domain.deadline import Step, StepName
from enrich.domain.matches import NoMatchReason
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason

# Numbers by the name of their metric; where it has a label, by the label's value.
Figures = Mapping[str, float | Mapping[str, float]]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. kind: counter, gauge or histogram, or `figure`: a gauge looked up in the database."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# From a warm answer (milliseconds) to TaskRouter's own limit of five seconds.
_ANSWER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0)
_STEP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.5)
_LEFT_S = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)

TABLE: tuple[Metric, ...] = (
    Metric(
        "enrich_callbacks_total",
        "counter",
        "Assignment callbacks answered, by endpoint and by how their enrichment ended.",
        ("endpoint", "outcome", "reason"),
    ),
    Metric(
        "enrich_callback_seconds", "histogram", "From a callback's arrival to its answer.", ("endpoint",), _ANSWER_S
    ),
    Metric("enrich_step_seconds", "histogram", "Time of each step of a callback.", ("step",), _STEP_S),
    Metric(
        "enrich_budget_left_seconds",
        "histogram",
        "What was left of a callback's time when it was answered.",
        (),
        _LEFT_S,
    ),
    Metric("enrich_in_flight", "gauge", "Assignment callbacks that are worked on at present."),
    Metric(
        "enrich_shed_total",
        "counter",
        "Callbacks answered at once because of too much load: too many in flight, too long in the queue before they "
        "were looked at, or too many before them at the database.",
        ("cause",),
    ),
    Metric(
        "enrich_rest_requests_total",
        "counter",
        "Requests to TaskRouter's REST API, by status, or by what kept them from having one.",
        ("method", "status"),
    ),
    Metric(
        "enrich_breaker_open",
        "gauge",
        "Processes that leave TaskRouter's API, or the database, alone at present, because it failed in a row.",
        ("of",),
    ),
    Metric(
        "enrich_events_total", "counter", "Event callbacks, by type and by what became of them.", ("type", "result")
    ),
    Metric("enrich_refused_total", "counter", "Webhooks refused before anything was done.", ("reason",)),
    Metric("enrich_sign_ins_total", "counter", "Attempts to sign in to the page.", ("result",)),
    Metric(
        "enrich_followups_total",
        "counter",
        "Follow-ups that a worker tried; only on the worker's own port.",
        ("kind", "outcome", "reason"),
    ),
    Metric("enrich_build_info", "figure", "1, with the version of this service as its label.", ("version",)),
    Metric("enrich_database_up", "figure", "1 when the database answered this request for figures, else 0."),
    Metric("enrich_followups_owed", "figure", "Follow-ups that are not done and not given up; counted up to 10,000."),
    Metric("enrich_followups_overdue_seconds", "figure", "How long the follow-up that waits longest has been due."),
    Metric(
        "enrich_followups_given_up",
        "figure",
        "Follow-ups given up within the last day, except where the task was over; up to 10,000.",
    ),
    Metric(
        "enrich_receipts_unconcluded",
        "figure",
        "Callbacks received over 10 s ago without a conclusion: no worker has found them yet; counted up to 10,000.",
    ),
    Metric("enrich_worker_silent_seconds", "figure", "How long ago a worker left word; +Inf where none has in a week."),
    Metric("enrich_alarms", "figure", "Tasks that somebody has to look at, by what about them.", ("alarm",)),
)

# The names that the code gives to its steps, causes and results; tests hold the code against them.
STEPS = frozenset(StepName)
CAUSES = ("in_flight", "queue", "database")
REFUSALS = ("invalid_signature", "other_workspace", "body_too_slow", "not_a_form")
SIGN_INS = ("signed_in", "failed", "limited")
RESULTS = ("kept", "not_recorded")
BREAKERS = ("taskrouter", "database")
# docs/taskrouter.md, "Events"; what a new version of TaskRouter sends is `other` until it is named here.
EVENT_TYPES = frozenset(
    f"{subject}.{what}"
    for subject, whats in {
        "task": "created updated canceled wrapup completed deleted system-deleted transfer-initiated "
        "transfer-attempt-failed transfer-failed transfer-canceled transfer-completed",
        "reservation": "created accepted rejected timeout canceled rescinded wrapup completed failed",
        "task-queue": "created deleted entered moved timeout expression.updated",
        "workflow": "created updated deleted entered target-matched timeout skipped",
        "worker": "created deleted activity.update attributes.update capacity.update channel.availability.update",
        "activity": "created updated deleted",
        "task-channel": "created updated deleted",
        "workspace": "created updated deleted",
    }.items()
    for what in whats.split()
)
_ANSWERS = frozenset(map(str, (200, 201, 204, 400, 401, 403, 404, 405, 409, 412, 413, 429, 500, 502, 503, 504)))
_INITIAL_SERIES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "enrich_callbacks_total": (
        (EntryKind.ASSIGNMENT, Outcome.ENRICHED, ""),
        (EntryKind.ASSIGNMENT, Outcome.NOT_TRIED, Reason.NOT_RECORDED),
        (EntryKind.ASSIGNMENT, Outcome.FAILED, Reason.FAILED),
    ),
    "enrich_shed_total": tuple((cause,) for cause in CAUSES),
    "enrich_rest_requests_total": tuple((method, status) for method in ("GET", "POST") for status in ("401", "403")),
    "enrich_events_total": tuple((kind, "not_recorded") for kind in ("task.created", "reservation.created")),
    "enrich_refused_total": tuple((reason,) for reason in REFUSALS),
    "enrich_sign_ins_total": tuple((result,) for result in SIGN_INS),
    "enrich_breaker_open": tuple((of,) for of in BREAKERS),
}
_STATUSES = _ANSWERS | {errors.TaskRouterTooSlow.reason, errors.TaskRouterUnreachable.reason, Reason.OUT_OF_TIME}
_OUTCOMES = frozenset({*Outcome, "repeat", "dropped", "done", "not_done"})


def _reasons(error: type[errors.EnrichError] = errors.EnrichError) -> Iterator[str]:
    yield error.reason
    for each in error.__subclasses__():
        yield from _reasons(each)


_REASONS = frozenset({"", *_reasons(), *Reason, *NoMatchReason})


class Metrics:
    """The counts of one app. Safe to share between greenlets and threads; one count costs a microsecond or two.

    shared: the directory that the processes of one server count into; None: this process alone.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        self._registry = CollectorRegistry()
        self._metrics = {row.name: _made(row, self._registry) for row in TABLE if row.kind != "figure"}
        # What has not happened yet is 0, not absent: an alert on an increase would miss the first one.
        for name, series in _INITIAL_SERIES.items():
            for labels in series:
                self._of(name, *labels)

    def callback(
        self,
        endpoint: EntryKind,
        outcome: Outcome | None,
        reason: str,
        steps: Iterable[Step],
        *,
        elapsed_s: float,
        left_s: float,
    ) -> None:
        """A callback was answered. outcome: None for a repeat, which got the answer of the first."""
        told = (endpoint, outcome or "repeat", _one_of(_REASONS, reason))
        self._of("enrich_callbacks_total", *told).inc()
        self._of("enrich_callback_seconds", endpoint).observe(elapsed_s)
        self._of("enrich_budget_left_seconds").observe(left_s)
        for step in steps:
            self._of("enrich_step_seconds", _one_of(STEPS, step.name)).observe(step.elapsed_ms / 1000)

    def shed(self, cause: str) -> None:
        self._of("enrich_shed_total", cause).inc()

    def in_flight(self, count: int) -> None:
        self._of("enrich_in_flight").set(count)

    def rest_request(self, method: str, status: str) -> None:
        """status: of HTTP; or the reason why there was none."""
        known = status if status in _STATUSES else f"{status[0]}xx" if status.isdecimal() else OTHER
        self._of("enrich_rest_requests_total", method, known).inc()

    def breaker(self, of: str, is_open: bool) -> None:
        self._of("enrich_breaker_open", of).set(is_open)

    def event(self, event_type: str, result: str) -> None:
        self._of("enrich_events_total", _one_of(EVENT_TYPES, event_type), result).inc()

    def refused(self, reason: str) -> None:
        self._of("enrich_refused_total", _one_of(REFUSALS, reason)).inc()

    def sign_in(self, result: str) -> None:
        self._of("enrich_sign_ins_total", _one_of(SIGN_INS, result)).inc()

    def followup(self, kind: FollowupKind, outcome: str, reason: str) -> None:
        """outcome: of the enrichment, or `done`, `not_done`, `dropped`."""
        told = (kind, _one_of(_OUTCOMES, outcome), _one_of(_REASONS, reason))
        self._of("enrich_followups_total", *told).inc()

    def exposition(self, figures: Figures) -> bytes:
        """All of it in Prometheus' text format. figures: those of the database; what is missing is left out."""
        counted: Any = self._registry
        if self._shared is not None:
            counted = CollectorRegistry()
            MultiProcessCollector(counted, str(self._shared))  # type: ignore[no-untyped-call]  # theirs has no types
        return generate_latest(_Together(counted, figures))  # it only asks for `collect`

    def _of(self, name: str, *labels: str) -> Any:
        metric = self._metrics[name]
        return metric.labels(*labels) if labels else metric


class _Together:
    """The counted metrics together with the figures of the database."""

    def __init__(self, counted: Any, figures: Figures) -> None:
        self._counted = counted
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        yield from self._counted.collect()
        for row in TABLE:
            figure = self._figures.get(row.name) if row.kind == "figure" else None
            if figure is not None:
                family = GaugeMetricFamily(row.name, row.help, labels=row.labels)
                for label, value in figure.items() if isinstance(figure, Mapping) else ((None, figure),):
                    family.add_metric([label] if label else [], value)
                yield family


def _made(row: Metric, registry: CollectorRegistry) -> Any:
    if row.kind == "counter":
        return Counter(row.name, row.help, row.labels, registry=registry)
    if row.kind == "histogram":
        return Histogram(row.name, row.help, row.labels, buckets=row.buckets, registry=registry)
    # Of several processes: the sum of those that live.
    return Gauge(row.name, row.help, row.labels, registry=registry, multiprocess_mode="livesum")


def _one_of(known: Iterable[str], value: str) -> str:
    return value if value in known else OTHER
