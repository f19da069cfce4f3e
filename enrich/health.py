"""The health endpoints: liveness, readiness and metrics. They are public: details need `METRICS_TOKEN`.

The worker serves the same on a port of its own, if one is set.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, current_app, jsonify, request
from flask.sansio.blueprints import BlueprintSetupState

from enrich import __version__, errors
from enrich.customers.stream_states import StreamStates
from enrich.database import migrations
from enrich.database.clock import SKEW_S
from enrich.domain.deadline import OutOfTime
from enrich.domain.stream_status import Condition, status_of
from enrich.domain.streams import StreamState
from enrich.journal.heartbeats import ALIVE, MAX_SKEW
from enrich.policy.timeouts import Alarm
from enrich.resilience.timeouts import time_limit
from enrich.services import current_services, declared_databases, synced_source
from enrich.telemetry import metrics

# A load balancer asks every few seconds and does not wait long.
READY_S = 2.0
# `/readyz` is public, and must not become a load on the database.
FRESH_S = 1.0
# Figures of the database are left out rather than waited for: what the processes counted is told in any case.
FIGURES_S = 1.0
# Records in quarantine are counted up to this.
MAX_COUNTED = 10_000
ALARMS = tuple(str(alarm) for alarm in Alarm if alarm)

log = logging.getLogger(__name__)

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """200 as long as the process answers at all."""
    return Response("ok\n", mimetype="text/plain")


class Readiness:
    """The latest findings of this process about itself, asked for again after a second, however many requests ask.

    examine: returns the findings, `ok` each if callbacks can be recorded and looked up.
    """

    def __init__(self, examine: Callable[[], Mapping[str, str]], now: Callable[[], float] = time.monotonic) -> None:
        self._examine = examine
        self._now = now
        self._findings: Mapping[str, str] = {}
        self._fresh_until = float("-inf")
        self._lock = threading.Lock()  # so that those who come while it is examined wait, READY_S at most

    def findings(self) -> Mapping[str, str]:
        with self._lock:
            if self._now() >= self._fresh_until:
                self._findings = self._examine()
                self._fresh_until = self._now() + FRESH_S
            return self._findings


@bp.record
def _add_readiness(state: BlueprintSetupState) -> None:
    state.app.extensions["enrich.readiness"] = Readiness(_examine)


@bp.get("/readyz")
def readyz() -> tuple[Response, HTTPStatus]:
    """200 when callbacks can be recorded and looked up, else 503; with the token, what is wrong.

    A worker that is missing is told, and is no reason for a 503: callbacks are answered without one, and a load
    balancer that took every process away for it would leave TaskRouter without any answer.
    """
    findings = current_app.extensions["enrich.readiness"].findings()
    is_ready = all(findings[name] == "ok" for name in ("database", "migrations") if name in findings)
    body: dict[str, Any] = {"ready": is_ready}
    if _may_see_details():
        body |= {**findings, "clock": _clock(), "version": __version__}
    return jsonify(body), HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE


def _examine() -> Mapping[str, str]:
    database = current_services().database
    findings = {"worker": "unknown"}
    try:
        with time_limit(READY_S):
            at, head = migrations.revisions(database)
            findings["migrations"] = "ok" if at == head else f"at {at or 'nothing'}, needs {head}"
            if at == head:
                findings["worker"] = _worker()
            database.check_writable()
        findings["database"] = "ok"
    except errors.DatabaseError as exc:
        findings |= {"database": exc.reason, "detail": str(exc)}
    except OutOfTime:
        findings["database"] = "database_too_slow"
    return findings


def _worker() -> str:
    """Return the state of the workers by their last heartbeat. Raises DatabaseError."""
    last = current_services().heartbeats.last()
    if last is None:
        return "never seen"
    if current_services().heartbeats.clock_in_doubt_since():
        return "clock in doubt, nothing is pruned: flask worker --confirm-clock"
    silent = current_services().adapters.now() - last
    if silent < -MAX_SKEW:
        return f"heartbeat from the future, by {-silent.total_seconds():.0f} s"
    return "ok" if silent <= ALIVE else f"silent for {silent.total_seconds():.0f} s"


def _clock() -> str:
    """Return the state of this machine's clock; the service works by the database's, if that has a clock of its own."""
    ahead_s = current_services().clock.ahead_s()
    if ahead_s is None or abs(ahead_s) < SKEW_S:
        return "ok"
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the database's, which is used"


@bp.get("/metrics")
def tell_metrics() -> Response:
    """Metrics in the Prometheus text format; 404 without the token."""
    if not _may_see_details():
        abort(404)
    return Response(current_services().metrics.exposition(_figures()), content_type=metrics.CONTENT_TYPE)


def _figures() -> metrics.Figures:
    """Return the figures of this request: the build and, if it responds, those of the database."""
    build = {"enrich_build_info": {__version__: 1}}
    try:
        with time_limit(FIGURES_S):
            now = current_services().adapters.now()
            found = current_services().adapters.followups.figures(now)
            last = current_services().heartbeats.last()
            alarms = current_services().adapters.task_states.alarm_counts(now)
            sources = _source_figures(now)
            is_writable = _is_writable()
    except (errors.DatabaseError, OutOfTime) as exc:
        log.warning("no figures from the database", extra={"reason": getattr(exc, "reason", "database_too_slow")})
        return {"enrich_database_up": 0.0, **build}
    return {
        **build,
        "enrich_database_up": float(is_writable),
        "enrich_followups_owed": found.owed,
        "enrich_followups_overdue_seconds": found.overdue_s,
        "enrich_followups_given_up": found.given_up,
        "enrich_receipts_unconcluded": found.unconcluded,
        "enrich_worker_silent_seconds": _silent_s(last, now),
        **sources,
        "enrich_alarms": dict.fromkeys(ALARMS, 0) | metrics.of_known(alarms, ALARMS),
    }


def _source_figures(now: datetime) -> metrics.Figures:
    """Return the figures of declared sources. Raises DatabaseError."""
    services = current_services()
    declared = services.sources.declarations
    if not declared:
        return {}
    states = StreamStates(services.database)
    stored = {state.source: state for state in states.all(now)}
    held = {name: stored[name].question for name in declared if name in stored}
    figures: dict[str, dict[str, float]] = {
        "enrich_source_held": {name: question.removed if question else 0 for name, question in held.items()},
        "enrich_source_quarantined": {
            name: sum(numbers) for name, numbers in states.quarantined_of(declared, at_most=MAX_COUNTED).items()
        },
    }
    for name, declaration in declared_databases(services).items():
        state = stored.get(name) or StreamState(name, declaration.kind)
        source = synced_source(services, declaration)
        status = status_of(state, source.intervals, source.fingerprint, now)
        for figure, value in {
            "up": float(state.problem is None and state.full_at is not None),
            "stopped": float(status.condition is Condition.STOPPED),
            "behind_seconds": status.behind.total_seconds() if status.behind is not None else float("inf"),
            "first_full_pass": float(state.is_first_full_pass),
            "interval_seconds": status.interval.total_seconds(),
            "run_seconds": state.duration.total_seconds() if state.duration is not None else None,
        }.items():
            if value is not None:
                figures.setdefault(f"enrich_source_{figure}", {})[name] = value
    return figures


def _is_writable() -> bool:
    """Return whether the database can be written to, as far as is known. Raises DatabaseError if it cannot be read."""
    try:
        current_services().database.check_writable()
    except errors.DatabaseNotWritable as exc:
        log.warning("the database cannot be written to", extra={"reason": exc.reason, "detail": str(exc)})
        return False
    return True


def _silent_s(last: datetime | None, now: datetime) -> float:
    """Return the seconds since the last heartbeat; one from the future proves nothing."""
    silent = now - last if last else None
    return silent.total_seconds() if silent is not None and silent >= -MAX_SKEW else float("inf")


def _may_see_details() -> bool:
    token = current_services().settings.metrics_token
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(sent.encode(), token.encode())
