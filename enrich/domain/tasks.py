"""Tasks as TaskRouter has them, and as the journal has seen them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Task:
    """A task as fetched. `raw_attributes` is the text to the letter; `etag` goes back as it came, quotes included.

    reason: why it ended, "" where nobody said. virtual_start_time: as TaskRouter writes it; "" where it has none.
    """

    sid: str
    raw_attributes: str
    etag: str
    assignment_status: str
    priority: int = 0
    reason: str = ""
    workflow_sid: str = ""
    task_channel: str = ""
    timeout_s: int | None = None
    virtual_start_time: str = ""


@dataclass(frozen=True, slots=True)
class StateCounts:
    """Counts of one task's distinct reservations: by ending ("timeout"), and not accepted in all (assignments).

    before: the state before this count.
    """

    endings: Mapping[str, int]
    assignments: int
    before: TaskState


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of one task; `journal.tables.TaskStateRow` describes each field."""

    task_sid: str
    workspace_sid: str
    misses: int
    canceled: int
    assignments: int
    escalation: int
    outcome: str
    alarm: str
    alarm_since: datetime | None
    hand_overs: int
    handed_over_from: str | None
    handed_over_to: str | None
    updated_at: datetime
    ended_at: datetime | None
