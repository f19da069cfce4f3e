"""The state of a source's stream, as its row has it, and when its next pass is due. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum

# After a failure the next attempt waits a second, then twice as long each time, at most this.
MAX_BACK_OFF = timedelta(minutes=5)
# A brake that stopped a pass in the middle stops the next one as well, so there is no hurry.
BRAKE_RETRY = timedelta(hours=1)
DAY = timedelta(days=1)
# A table without a change column is read whole each time: for at most this share of the time.
FULL_PASS_SHARE = 10


class Pass(StrEnum):
    """The kinds of passes over a source."""

    FULL = "full"  # every record; those that it does not have are gone
    WINDOW = "window"  # the records that changed since the watermark
    KEYS = "keys"  # the ids of every record; those that it does not have are gone


@dataclass(frozen=True, slots=True)
class Intervals:
    """Times between the beginnings of passes. has_windows: False if the source does not say what changed.

    full_time, zone: the time of day at which full passes begin, where a day or more lies between them.
    """

    every: timedelta
    keys_every: timedelta
    full_every: timedelta
    has_windows: bool = True
    full_time: time | None = None
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Question:
    """The question of the brake. removed: so many would leave, the larger of customers and identifiers of others.

    records, of_records: customers who would, of so many. pass_: the one that asks, and is run again after a yes.
    """

    removed: int
    records: int
    of_records: int
    detail: str
    pass_: Pass


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream as it is stored. Times are aware, in UTC; None: never.

    fingerprint: of the mapping by which it was read last. owner: of the lease, None if nobody reads it. interrupted:
    the pass that has not come to its end. counts: of the present or last run, by outcome. watermark: until when it is
    read, in microseconds of the source's clock. window_at, keys_at, full_at: beginnings of the last complete passes.
    problem: reason slug of the last failure, None if the last run went well, with its detail; failed_since, failures:
    of several in a row. due_at: not to be tried again before. requested: the pass that an operator wants next.
    accepted: so many may leave in the next run. wants_retry: an operator wants the quarantine to be read again.
    """

    source: str
    kind: str
    fingerprint: str = ""
    owner: str | None = None
    interrupted: Pass | None = None
    watermark: int | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    window_at: datetime | None = None
    keys_at: datetime | None = None
    full_at: datetime | None = None
    problem: str | None = None
    detail: str | None = None
    failed_since: datetime | None = None
    failures: int = 0
    due_at: datetime | None = None
    requested: Pass | None = None
    question: Question | None = None
    accepted: int | None = None
    wants_retry: bool = False

    @property
    def is_stopped(self) -> bool:
        """Return whether the source refuses us or does not fit its description, which time does not mend."""
        return self.problem in STOPPING

    @property
    def is_first_full_pass(self) -> bool:
        """Return whether the source is being read whole for the first time by its mapping, without a failure so far."""
        return self.owner is not None and self.full_at is None and self.problem is None

    @property
    def duration(self) -> timedelta | None:
        """Return the time that the last run took; None while one runs."""
        return self.ended_at - self.began_at if self.began_at and self.ended_at else None


STOPPING = frozenset({"source_refused", "source_misfit"})


def due_pass(state: StreamState, intervals: Intervals, fingerprint: str, now: datetime) -> Pass | None:
    """Return the pass that is due now; None if none is.

    fingerprint: of the mapping in use. An operator's wish comes first. A stream that was never read whole, or by
    another mapping, is read whole; an interrupted pass is ended before others.
    """
    if state.requested is not None:
        return state.requested
    if state.is_stopped and state.fingerprint == fingerprint:
        return None
    if state.due_at is not None and now < state.due_at and state.fingerprint == fingerprint:
        return None
    if state.full_at is None or state.fingerprint != fingerprint:
        return Pass.FULL
    if state.interrupted is not None:
        return state.interrupted
    if _is_due(state.full_at, full_pass_due_at(state.full_at, state, intervals), now):
        return Pass.FULL
    if not intervals.has_windows:
        return None
    if state.keys_at is None or _is_due(state.keys_at, state.keys_at + intervals.keys_every, now):
        return Pass.KEYS
    if state.window_at is None or _is_due(state.window_at, state.window_at + intervals.every, now):
        return Pass.WINDOW
    return None


def back_off(failures: int) -> timedelta:
    """Return the wait after this many failures in a row."""
    return min(timedelta(seconds=2 ** min(failures - 1, 16)), MAX_BACK_OFF)


def behind(state: StreamState, now: datetime) -> timedelta | None:
    """Return how far the customers may be behind their source; None before the first complete pass."""
    newest = max((at for at in (state.window_at, state.full_at) if at is not None), default=None)
    return None if newest is None else max(now - newest, timedelta())


def every_full_pass(state: StreamState, intervals: Intervals) -> timedelta:
    """Return the time between full passes: of a source without windows it grows with the time that one takes."""
    if intervals.has_windows:
        return intervals.full_every
    took = state.duration or timedelta()
    return max(intervals.every, took * FULL_PASS_SHARE)


def full_pass_due_at(last_at: datetime, state: StreamState, intervals: Intervals) -> datetime:
    """Return when the full pass after the one that began at `last_at` is due.

    That is by the interval or, at a given time of day, by the last such time before the interval is over.
    """
    every = every_full_pass(state, intervals)
    if intervals.full_time is None or not intervals.has_windows or every < DAY:
        return last_at + every
    earliest = (last_at + every - DAY).astimezone(intervals.zone)
    due_at = datetime.combine(earliest.date(), intervals.full_time, intervals.zone)
    return due_at if due_at > earliest else datetime.combine(earliest.date() + DAY, intervals.full_time, intervals.zone)


def _is_due(last_at: datetime, due_at: datetime, now: datetime) -> bool:
    return now >= due_at or last_at - now > due_at - last_at  # a clock that was set back
