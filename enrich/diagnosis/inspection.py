"""The doctor's view of TaskRouter: credentials, clock, workspaces and workflows.

The SDK is large, so only commands that need it import this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from twilio.http.response import Response

from enrich import errors
from enrich.diagnosis.snapshot import WorkflowSnapshot, WorkspaceSnapshot
from enrich.taskrouter.sdk import Transport, connect, translated

ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """The result of a request. access: "ok", or the reason for the refusal. skew_s: TaskRouter's clock minus ours."""

    access: str
    skew_s: float | None = None


def check_credentials(base_url: str, user: str, password: str, now: Callable[[], datetime]) -> CredentialCheck:
    """Return whether these credentials are accepted, and TaskRouter's clock, corrected for half of the round trip."""
    started_at = now()
    try:
        transport = Transport(base_url)
        transport.begin("checking the credentials")
        response = transport.request(
            "GET", f"{base_url}/v1/Workspaces", {"PageSize": 1}, auth=(user, password), timeout=ANSWER_S
        )
    except errors.TaskRouterError as exc:
        return CredentialCheck(f"{exc.reason} ({exc})")
    ended_at = now()
    return CredentialCheck(
        _access(response), _skew_s(response.headers.get("date"), started_at + (ended_at - started_at) / 2)
    )


def workspaces(base_url: str, account_sid: str, user: str, password: str) -> tuple[WorkspaceSnapshot, ...]:
    """Return the account's workspaces with their workflows. Raises TaskRouterError."""
    client = connect(base_url, account_sid, user, password)
    with translated(client, "looking at the workspaces"):
        return tuple(
            WorkspaceSnapshot(
                sid=workspace.sid,
                name=workspace.friendly_name,
                events_url=workspace.event_callback_url or "",
                events=_events(workspace.events_filter),
                workflows=tuple(
                    WorkflowSnapshot(
                        sid=workflow.sid,
                        name=workflow.friendly_name,
                        assignment_url=workflow.assignment_callback_url or "",
                        fallback_url=workflow.fallback_assignment_callback_url or "",
                        reservation_timeout_s=int(workflow.task_reservation_timeout),
                    )
                    for workflow in client.taskrouter.v1.workspaces(workspace.sid).workflows.list()
                ),
            )
            for workspace in client.taskrouter.v1.workspaces.list()
        )


def _events(names: str | None) -> frozenset[str] | None:
    return frozenset(name.strip() for name in names.split(",")) if names else None


def _access(response: Response) -> str:
    if response.status_code in (401, 403):
        return errors.NotAuthorized.reason
    if response.status_code != 200:
        return f"HTTP {response.status_code}"
    return "ok" if "workspaces" in json.loads(response.text) else errors.NotUnderstood.reason


def _skew_s(date: str | None, now: datetime) -> float | None:
    try:
        return (parsedate_to_datetime(date or "") - now).total_seconds()
    except (ValueError, TypeError):
        return None
