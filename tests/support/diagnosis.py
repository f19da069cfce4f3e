"""A workspace that is as it should be, and what the tests of every check ask of a finding."""

from __future__ import annotations

from collections.abc import Iterable

from enrich.diagnosis.snapshot import WorkflowSnapshot, WorkspaceSnapshot
from enrich.domain.findings import Finding, Level
from enrich.taskrouter.endpoints import NEEDED_EVENTS

PUBLIC_URL = "https://hooks.example.test/enrich"
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM
WORKFLOW = WorkflowSnapshot(
    name="Main",
    sid="WW1",
    assignment_url=f"{PUBLIC_URL}/taskrouter/assignment",
    fallback_url=f"{PUBLIC_URL}/taskrouter/assignment/fallback",
    reservation_timeout_s=120,
)
WORKSPACE = WorkspaceSnapshot(
    name="Support",
    sid="WS1",
    events_url=f"{PUBLIC_URL}/taskrouter/events#rc=2&rp=5xx,ct,rt",
    events=NEEDED_EVENTS,
    workflows=(WORKFLOW,),
)


def found(findings: Finding | Iterable[Finding], check: str) -> Finding:
    """The only finding of this check."""
    several = [findings] if isinstance(findings, Finding) else list(findings)
    (one,) = [each for each in several if each.check == check]
    return one


def expect(findings: Finding | Iterable[Finding], check: str, level: Level, told: str = "") -> None:
    one = found(findings, check)
    assert one.level is level, one
    assert told in f"{one.found} | {one.meaning} | {one.todo}", one
    # Whoever reads that something is wrong reads what it means and what to do.
    assert level is OK or (one.meaning and one.todo), one
