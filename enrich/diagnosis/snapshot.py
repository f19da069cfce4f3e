"""The set-up of a workspace as the doctor found it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenWorkflow:
    """One workflow at TaskRouter. URLs are "" where none is set."""

    name: str
    sid: str
    assignment_url: str
    fallback_url: str
    reservation_timeout_s: int


@dataclass(frozen=True, slots=True)
class SeenWorkspace:
    """One workspace at TaskRouter. events: None where every event goes out."""

    name: str
    sid: str
    events_url: str
    events: frozenset[str] | None
    workflows: tuple[SeenWorkflow, ...] = ()
