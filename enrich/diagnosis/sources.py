"""Findings on the sources of customers: whether each declared one is in sync, and what waits for somebody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from enrich.domain.findings import Finding, ok, problem, warning
from enrich.domain.stream_status import Condition, StreamStatus
from enrich.domain.streams import StreamState

_STALE = "customers are as they were at the source then; new ones are unknown to callbacks"


def sources_file(path: str, problems: str) -> Finding:
    """Check the sources file. path: "" if none is set. problems: one per line; "" for none."""
    if not path:
        return ok("sources_file", "no sources file is set")
    if problems:
        observation = "; ".join(problems.splitlines())
        return problem("sources_file", observation, "the service does not start with it", "fix the file")
    return ok("sources_file", f"{path} is valid")


def sync(name: str, state: StreamState | None, status: StreamStatus | None) -> Finding:
    """Check the sync of a declared database. state, status: None if nothing is stored of it."""
    check = "sync"
    if state is None or status is None:
        return problem(
            check,
            f"{name} was never read",
            "its customers are unknown to callbacks",
            "run flask worker with ENRICH_SOURCES set, or flask sources sync",
        )
    if status.condition is Condition.STOPPED:
        return problem(
            check,
            f"{name} is not read any more: {state.problem}: {state.detail}",
            _STALE,
            f"flask sources check names the difference; then: flask sources sync {name}",
        )
    if state.problem is not None and state.question is None:
        since = f" since {state.failed_since:%Y-%m-%d %H:%M} UTC" if state.failed_since else ""
        judge = problem if status.is_late or status.behind is None else warning
        return judge(
            check,
            f"{name} fails{since}: {state.problem}: {state.detail}",
            _STALE,
            "it is tried again by itself; see if the database runs, and the worker reaches it",
        )
    if status.behind is None:
        return _never_whole(name, state, status)
    if status.is_late:
        return problem(
            check,
            f"{name} was read {_ago(status.behind)} ago, and is to be read every {_ago(status.interval)}",
            _STALE,
            "see if flask worker runs, with ENRICH_SOURCES set; flask sources status",
        )
    return ok(check, f"{name} was read {_ago(status.behind)} ago")


def _never_whole(name: str, state: StreamState, status: StreamStatus) -> Finding:
    if status.condition is Condition.RUNNING:
        read = state.counts.get("read", 0)
        meaning, todo = "some of its customers are unknown to callbacks", "wait until the first pass is complete"
        return warning("sync", f"{name} is being read for the first time, {read:,} records so far", meaning, todo)
    return problem(
        "sync",
        f"{name} was never read whole",
        "some of its customers are unknown to callbacks",
        "run flask worker with ENRICH_SOURCES set, or flask sources sync",
    )


def waiting(name: str, state: StreamState | None, missing: int, incomplete: int) -> Iterator[Finding]:
    """Check what of a declared source waits for somebody. missing, incomplete: records in quarantine."""
    if state is not None and state.question is not None:
        yield problem(
            "brake",
            f"{name}: {state.question.detail}",
            "more than is usual would go, so they stay until somebody answers",
            f"look at the source; then answer on the page Sources, or: flask sources sync {name} --accept"
            f" {state.question.removed}",
        )
    if missing or incomplete:
        yield warning(
            "quarantine",
            f"{name}: {missing:,} records are not loaded, {incomplete:,} are loaded without some of their values",
            "these customers are not known, or not by these values",
            f"flask sources quarantine list {name} shows the reasons; mend them at the source",
        )


def _ago(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
