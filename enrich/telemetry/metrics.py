"""Metrics: one table of all of them, and the functions that count.

Names, meaning and labels are in `TABLE`; the dashboard and the alert rules in docs/operations/ use these and no others
(a test compares them). Every label has a short closed list of values, and any other value is counted as `other`, so
that requests cannot create series without limit, and no personal data becomes a label.

Only the outermost layer counts: flows return what they did, and adapters call the function they were constructed with.
Under gunicorn several processes count into files of one directory (multiprocess.py); any of them can report all counts.
Figures that the database knows better than any process are read at each scrape (`Figures`).
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
from enrich.domain.matches import MatchKind, NoMatchReason
from enrich.domain.outcomes import EntryKind, FollowupKind, IntakeOutcome, Outcome, Reason, RestorationResult

# Values by metric name; if the metric has a label, by the label's value.
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


# From the answer of a warm process (milliseconds) to TaskRouter's own limit of five seconds.
_ANSWER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0)
_STEP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.5)
_LEFT_S = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)

TABLE: tuple[Metric, ...] = (
    Metric(
        "enrich_callbacks_total",
        "counter",
        "Assignment callbacks answered, by endpoint, outcome and reason.",
        ("endpoint", "outcome", "reason"),
    ),
    Metric(
        "enrich_callback_seconds",
        "histogram",
        "Time from callback to answer.",
        ("endpoint",),
        _ANSWER_S,
    ),
    Metric("enrich_step_seconds", "histogram", "Time of each step of a callback.", ("step",), _STEP_S),
    Metric(
        "enrich_budget_left_seconds",
        "histogram",
        "Time left of a callback's budget when it was answered.",
        (),
        _LEFT_S,
    ),
    Metric("enrich_in_flight", "gauge", "Assignment callbacks in progress."),
    Metric(
        "enrich_shed_total",
        "counter",
        "Callbacks answered without work because of overload: too many in flight, too long in the queue, or too many "
        "waiting for the database.",
        ("cause",),
    ),
    Metric(
        "enrich_rest_requests_total",
        "counter",
        "Requests to TaskRouter's REST API, by status, or by the reason why there was no response.",
        ("method", "status"),
    ),
    Metric(
        "enrich_breaker_open",
        "gauge",
        "Processes whose circuit breaker for TaskRouter's API or the database is open, after failures in a row.",
        ("of",),
    ),
    Metric("enrich_events_total", "counter", "Event callbacks, by type and result.", ("type", "result")),
    Metric("enrich_refused_total", "counter", "Webhooks refused before any work was done.", ("reason",)),
    Metric("enrich_lookups_total", "counter", "Look-ups of other systems over the API, by result.", ("result",)),
    Metric("enrich_reads_total", "counter", "Reads of other systems over the API, by result.", ("operation", "result")),
    Metric(
        "enrich_sync_records_total",
        "counter",
        "Records that a worker read at a source, by outcome; only on the worker's own port.",
        ("source", "outcome"),
    ),
    Metric(
        "enrich_sync_runs_total",
        "counter",
        "Runs of a worker over a source, by result; only on the worker's own port.",
        ("source", "result"),
    ),
    Metric(
        "enrich_intake_records_total",
        "counter",
        "Customers that a source of the kind push has sent, by source and outcome.",
        ("source", "outcome"),
    ),
    Metric(
        "enrich_intake_refused_total",
        "counter",
        "Requests of sources of the kind push that were refused, by source and reason.",
        ("source", "reason"),
    ),
    Metric("enrich_sign_ins_total", "counter", "Sign-in attempts.", ("result",)),
    Metric(
        "enrich_followups_total",
        "counter",
        "Follow-ups that a worker attempted; only on the worker's own port.",
        ("kind", "outcome", "reason"),
    ),
    Metric(
        "enrich_restorations_total",
        "counter",
        "Blocks that another program had overwritten: put back, or left; only on the worker's own port.",
        ("result",),
    ),
    Metric("enrich_build_info", "figure", "1, with the version of this service as its label.", ("version",)),
    Metric("enrich_database_up", "figure", "1 if the database answered at this scrape and can be written to, else 0."),
    Metric("enrich_followups_owed", "figure", "Follow-ups that are neither done nor given up; counted up to 10,000."),
    Metric("enrich_followups_overdue_seconds", "figure", "Time since the oldest due follow-up became due."),
    Metric(
        "enrich_followups_given_up",
        "figure",
        "Follow-ups given up within the last day, except those whose task had ended; up to 10,000.",
    ),
    Metric(
        "enrich_receipts_unconcluded",
        "figure",
        "Callbacks received over 10 s ago without a conclusion that no worker has adopted yet; counted up to 10,000.",
    ),
    Metric(
        "enrich_worker_silent_seconds",
        "figure",
        "Time since a worker's last heartbeat; +Inf if none within a week.",
    ),
    *(
        Metric(name, "figure", text, ("source",))
        for name, text in {
            "enrich_source_up": "1 if the last sync of the source went well, else 0.",
            "enrich_source_stopped": "1 if the source is not read until somebody mends it, else 0.",
            "enrich_source_held": "Customers or identifiers that the brake holds until somebody answers.",
            "enrich_source_behind_seconds": "Time by which customers are behind the source; +Inf if never read whole.",
            "enrich_source_first_full_pass": "1 while the first full pass runs, without a failure so far, else 0.",
            "enrich_source_interval_seconds": "Time between reads of what is new at the source.",
            "enrich_source_run_seconds": "Duration of the last sync of the source.",
            "enrich_source_quarantined": "Records of the source that are not loaded, or not whole; up to 10,000.",
        }.items()
    ),
    Metric("enrich_alarms", "figure", "Tasks that need attention, by alarm.", ("alarm",)),
)

# Label values: the steps, causes and results that the code uses. Tests compare them with the code.
STEPS = frozenset(StepName)
CAUSES = ("in_flight", "queue", "database")
REFUSALS = ("invalid_signature", "other_workspace", "body_too_slow", "not_a_form", errors.MalformedPayload.reason)
SIGN_INS = ("signed_in", "failed", "limited")
RESULTS = ("kept", "not_recorded")
LOOKUPS = (*MatchKind, "could_not_look", "shed", "rate_limited")
READ_OPERATIONS = ("list_customers", "get_customer", "list_tasks", "get_task", "list_followups")
READS = ("answered", "could_not_read", "shed", "rate_limited")
INTAKE_REFUSALS = (
    Reason.OVERLOAD,
    Reason.OUT_OF_TIME,
    "rate_limited",
    "unauthorized",
    "insufficient_scope",
    "no_such_source",
    "invalid",
    "not_json",
    "unsupported_media_type",
)
SYNC_OUTCOMES = ("read", "created", "changed", "unchanged", "older", "removed", "quarantined", "incomplete")
BREAKERS = ("taskrouter", "database")
# docs/taskrouter.md, "Events". A type that TaskRouter adds later counts as `other` until it is added here.
EVENT_TYPES = frozenset(
    f"{subject}.{change}"
    for subject, changes in {
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
    for change in changes.split()
)
_KNOWN_STATUSES = frozenset(map(str, (200, 201, 204, 400, 401, 403, 404, 405, 409, 412, 413, 429, 500, 502, 503, 504)))
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
    "enrich_lookups_total": tuple((result,) for result in LOOKUPS),
    "enrich_reads_total": tuple((operation, result) for operation in READ_OPERATIONS for result in READS),
    "enrich_sign_ins_total": tuple((result,) for result in SIGN_INS),
    "enrich_restorations_total": tuple((result,) for result in RestorationResult),
    "enrich_breaker_open": tuple((of,) for of in BREAKERS),
}
_STATUSES = _KNOWN_STATUSES | {errors.TaskRouterTooSlow.reason, errors.TaskRouterUnreachable.reason, Reason.OUT_OF_TIME}
_OUTCOMES = frozenset({*Outcome, *RestorationResult, "repeat", "dropped", "done", "not_done"})


def _reasons(error: type[errors.EnrichError] = errors.EnrichError) -> Iterator[str]:
    yield error.reason
    for subclass in error.__subclasses__():
        yield from _reasons(subclass)


_REASONS = frozenset({"", *_reasons(), *Reason, *NoMatchReason})
_FAILED_SYNCS = frozenset({*_reasons(errors.SourceError), *_reasons(errors.DatabaseError)})
_SYNC_RESULTS = _FAILED_SYNCS | {"complete", "held", "interrupted"}
_INTAKE_REASONS = frozenset({*_reasons(errors.DatabaseError), errors.BrakeApplied.reason, *INTAKE_REFUSALS})


class Metrics:
    """The counts of one app. Safe to share between greenlets and threads; a count costs a microsecond or two.

    shared: the directory that the processes of one server count into; None: this process counts alone.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        self._registry = CollectorRegistry()
        self._metrics = {row.name: _metric(row, self._registry) for row in TABLE if row.kind != "figure"}
        self._series: dict[tuple[str, tuple[str, ...]], Any] = {}
        # These series start at 0 instead of being absent: an alert on an increase would miss the first event.
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
        """Count an answered callback. outcome: None for a repeat, which got the answer of the first."""
        labels = (endpoint, outcome or "repeat", _one_of(_REASONS, reason))
        self._of("enrich_callbacks_total", *labels).inc()
        self._of("enrich_callback_seconds", endpoint).observe(elapsed_s)
        self._of("enrich_budget_left_seconds").observe(left_s)
        for step in steps:
            self._of("enrich_step_seconds", _one_of(STEPS, step.name)).observe(step.elapsed_ms / 1000)

    def shed(self, cause: str) -> None:
        self._of("enrich_shed_total", cause).inc()

    def in_flight(self, count: int) -> None:
        self._of("enrich_in_flight").set(count)

    def rest_request(self, method: str, status: str) -> None:
        """Count a request to TaskRouter's API. status: HTTP's; or the reason why there was no response."""
        label = status if status in _STATUSES else f"{status[0]}xx" if status.isdecimal() else OTHER
        self._of("enrich_rest_requests_total", method, label).inc()

    def breaker(self, of: str, is_open: bool) -> None:
        self._of("enrich_breaker_open", of).set(is_open)

    def event(self, event_type: str, result: str) -> None:
        self._of("enrich_events_total", _one_of(EVENT_TYPES, event_type), result).inc()

    def refused(self, reason: str) -> None:
        self._of("enrich_refused_total", _one_of(REFUSALS, reason)).inc()

    def lookup(self, result: str) -> None:
        """Count a look-up over the API. result: its match; or `could_not_look`, `shed`, `rate_limited`."""
        self._of("enrich_lookups_total", _one_of(LOOKUPS, result)).inc()

    def read(self, operation: str, result: str) -> None:
        """Count a read over the API. result: `answered`; or `could_not_read`, `shed`, `rate_limited`."""
        self._of("enrich_reads_total", _one_of(READ_OPERATIONS, operation), _one_of(READS, result)).inc()

    def sync(self, source: str, outcome: str, count: int) -> None:
        """Count records that were read at a source. source: declared."""
        self._of("enrich_sync_records_total", source, _one_of(SYNC_OUTCOMES, outcome)).inc(count)

    def sync_run(self, source: str, result: str) -> None:
        """Count a run. source: declared. result: `complete`, `held`, `interrupted`, or the reason of its failure."""
        self._of("enrich_sync_runs_total", source, _one_of(_SYNC_RESULTS, result)).inc()

    def intake(self, source: str, outcome: IntakeOutcome, count: int) -> None:
        """Count records that a source has sent. source: declared."""
        self._of("enrich_intake_records_total", source, outcome).inc(count)

    def intake_refused(self, source: str, reason: str) -> None:
        """Count a refused request. source: declared, "" for one that is not. reason: that of the problem details."""
        self._of("enrich_intake_refused_total", source, _one_of(_INTAKE_REASONS, reason)).inc()

    def sign_in(self, result: str) -> None:
        self._of("enrich_sign_ins_total", _one_of(SIGN_INS, result)).inc()

    def followup(self, kind: FollowupKind, outcome: str, reason: str) -> None:
        """Count an attempted follow-up. outcome: that of the enrichment, or `done`, `not_done`, `dropped`."""
        labels = (kind, _one_of(_OUTCOMES, outcome), _one_of(_REASONS, reason))
        self._of("enrich_followups_total", *labels).inc()

    def restoration(self, result: RestorationResult) -> None:
        """Count an overwritten block."""
        self._of("enrich_restorations_total", result).inc()

    def exposition(self, figures: Figures) -> bytes:
        """Return all metrics in the Prometheus text format. figures: of the database; missing ones are left out."""
        registry: Any = self._registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared))  # type: ignore[no-untyped-call]  # it has no types
        # `generate_latest` calls nothing but `collect`.
        return generate_latest(_AllMetrics(registry, figures))

    def _of(self, name: str, *labels: str) -> Any:
        """Return the series with these labels. Kept, since prometheus_client looks for it under a lock each time."""
        series = self._series.get((name, labels))
        if series is None:
            metric = self._metrics[name]
            series = self._series[name, labels] = metric.labels(*labels) if labels else metric
        return series


class _AllMetrics:
    """A collector of the counted metrics and the figures of the database."""

    def __init__(self, registry: Any, figures: Figures) -> None:
        self._registry = registry
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        yield from self._registry.collect()
        for row in TABLE:
            figure = self._figures.get(row.name) if row.kind == "figure" else None
            if figure is not None:
                family = GaugeMetricFamily(row.name, row.help, labels=row.labels)
                for label, value in figure.items() if isinstance(figure, Mapping) else ((None, figure),):
                    family.add_metric([label] if label else [], value)
                yield family


def _metric(row: Metric, registry: CollectorRegistry) -> Any:
    if row.kind == "counter":
        return Counter(row.name, row.help, row.labels, registry=registry)
    if row.kind == "histogram":
        return Histogram(row.name, row.help, row.labels, buckets=row.buckets, registry=registry)
    # With several processes, the sum over those that are alive.
    return Gauge(row.name, row.help, row.labels, registry=registry, multiprocess_mode="livesum")


def of_known(counts: Mapping[str, float], values: Iterable[str]) -> dict[str, float]:
    """Return the counts with those of unknown values, such as a newer version writes, summed up as `other`."""
    known = frozenset(values)
    others = sum(count for value, count in counts.items() if value not in known)
    return {value: count for value, count in counts.items() if value in known} | ({OTHER: others} if others else {})


def _one_of(values: Iterable[str], value: str) -> str:
    return value if value in values else OTHER
