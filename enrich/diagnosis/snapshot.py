"""The set-up of a workspace at TaskRouter, as the doctor reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkflowSnapshot:
    """One workflow at TaskRouter. URLs are "" where none is set."""

    name: str
    sid: str
    assignment_url: str
    fallback_url: str
    reservation_timeout_s: int


@dataclass(frozen=True, slots=True)
class WorkspaceSnapshot:
    """One workspace at TaskRouter. events: None if every event is sent."""

    name: str
    sid: str
    events_url: str
    events: frozenset[str] | None
    workflows: tuple[WorkflowSnapshot, ...] = ()
