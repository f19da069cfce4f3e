"""The status of a source's stream, as the page, the metrics and the doctor show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from enrich.domain.streams import Intervals, Pass, StreamState, behind, due_pass, every_full_pass, full_pass_due_at

# A source is late once it is behind by this many of its intervals, and by this time at least.
LATE_INTERVALS = 3
LATE = timedelta(minutes=15)
# A worker begins a pass that is due within seconds.
BEGINS_WITHIN = timedelta(seconds=10)


class Condition(StrEnum):
    """The conditions of a source that is read, the one that hides others first."""

    RUNNING = "running"
    WAITING = "waiting"  # a pass is asked for, or due, and does not begin
    STOPPED = "stopped"  # until an operator mends something
    HELD = "held"  # the brake waits for an answer
    RETRYING = "retrying"  # failed, and is tried again by itself
    NEVER_READ = "never_read"  # not whole
    IN_SYNC = "in_sync"


@dataclass(frozen=True, slots=True)
class NextPass:
    """The next pass. at: when it is due, which may be past."""

    pass_: Pass
    at: datetime


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The status of one stream. behind: None before the first complete pass. interval: between reads of what is new."""

    condition: Condition
    next_pass: NextPass | None
    behind: timedelta | None
    interval: timedelta

    @property
    def is_late(self) -> bool:
        """Return whether the customers are further behind their source than a few missed passes explain."""
        return self.behind is not None and self.behind > max(LATE, LATE_INTERVALS * self.interval)


def status_of(state: StreamState, intervals: Intervals, fingerprint: str, now: datetime) -> StreamStatus:
    """Return the status of this stream. fingerprint: of the mapping in use."""
    coming = next_pass(state, intervals, fingerprint, now)
    interval = intervals.every if intervals.has_windows else every_full_pass(state, intervals)
    return StreamStatus(_condition(state, coming, fingerprint, now), coming, behind(state, now), interval)


def next_pass(state: StreamState, intervals: Intervals, fingerprint: str, now: datetime) -> NextPass | None:
    """Return the next pass; None for a source that is stopped."""
    is_same_mapping = state.fingerprint == fingerprint
    waits_until = state.due_at if state.due_at is not None and is_same_mapping and not state.requested else None
    due = due_pass(state, intervals, fingerprint, max(now, waits_until or now))
    if due is not None:
        return NextPass(due, waits_until or (_due_since(state, due, intervals, now) if is_same_mapping else now))
    if state.is_stopped and is_same_mapping:
        return None
    passes = (Pass.FULL, Pass.KEYS, Pass.WINDOW) if intervals.has_windows else (Pass.FULL,)
    return min((NextPass(one, _due_since(state, one, intervals, now)) for one in passes), key=lambda one: one.at)


def last_pass(state: StreamState) -> Pass | None:
    """Return the kind of the present or last run; None if it is not known, as after a failure before its first page."""
    if state.interrupted is not None:
        return state.interrupted
    if state.began_at is None:
        return None
    complete = {Pass.FULL: state.full_at, Pass.KEYS: state.keys_at, Pass.WINDOW: state.window_at}
    return next((pass_ for pass_, at in complete.items() if at == state.began_at), None)


def _condition(state: StreamState, coming: NextPass | None, fingerprint: str, now: datetime) -> Condition:
    if state.owner is not None:
        return Condition.RUNNING
    if state.requested is not None or state.wants_retry:
        return Condition.WAITING
    if state.is_stopped and state.fingerprint == fingerprint:
        return Condition.STOPPED
    if state.question is not None:
        return Condition.HELD
    if state.problem is not None:
        return Condition.RETRYING
    if state.full_at is None:
        return Condition.NEVER_READ
    is_overdue = coming is not None and now - coming.at > BEGINS_WITHIN
    return Condition.WAITING if is_overdue else Condition.IN_SYNC


def _due_since(state: StreamState, pass_: Pass, intervals: Intervals, now: datetime) -> datetime:
    """Return when a pass of this kind is due by its interval; now, if it is asked for or was never complete."""
    at = {Pass.FULL: state.full_at, Pass.KEYS: state.keys_at, Pass.WINDOW: state.window_at}[pass_]
    if at is None or pass_ in (state.requested, state.interrupted):
        return now
    if pass_ is Pass.FULL:
        return full_pass_due_at(at, state, intervals)
    return at + (intervals.keys_every if pass_ is Pass.KEYS else intervals.every)
