"""The doctor's view of TaskRouter: credentials, clock, workspaces and workflows.

The SDK is large; only who asks imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import requests

from enrich import errors
from enrich.diagnosis.snapshot import SeenWorkflow, SeenWorkspace
from enrich.taskrouter.sdk import connect, translated

ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """entered: "ok", or the reason why not. skew_s: how far TaskRouter's clock is ahead; None where it told no time."""

    entered: str
    skew_s: float | None = None


def check_credentials(base_url: str, user: str, password: str, now: Callable[[], datetime]) -> CredentialCheck:
    """Return whether these credentials are accepted, and TaskRouter's clock, corrected for half of the round trip."""
    began = now()
    try:
        with requests.get(
            f"{base_url}/v1/Workspaces", params={"PageSize": 1}, auth=(user, password), timeout=ANSWER_S
        ) as response:
            ended = now()
    except requests.RequestException as exc:
        return CredentialCheck(f"{errors.TaskRouterUnreachable.reason} ({type(exc).__name__})")
    return CredentialCheck(_entered(response), _skew_s(response.headers.get("Date"), began + (ended - began) / 2))


def workspaces(base_url: str, account_sid: str, user: str, password: str) -> tuple[SeenWorkspace, ...]:
    """All that we may see. Raises TaskRouterError."""
    client = connect(base_url, account_sid, user, password)
    with translated("looking at the workspaces"):
        return tuple(
            SeenWorkspace(
                sid=each.sid,
                name=each.friendly_name,
                events_url=each.event_callback_url or "",
                events=frozenset(name.strip() for name in each.events_filter.split(","))
                if each.events_filter
                else None,
                workflows=tuple(
                    SeenWorkflow(
                        sid=workflow.sid,
                        name=workflow.friendly_name,
                        assignment_url=workflow.assignment_callback_url or "",
                        fallback_url=workflow.fallback_assignment_callback_url or "",
                        reservation_timeout_s=int(workflow.task_reservation_timeout),
                    )
                    for workflow in client.taskrouter.v1.workspaces(each.sid).workflows.list()
                ),
            )
            for each in client.taskrouter.v1.workspaces.list()
        )


def _events(names: str | None) -> frozenset[str] | None:
    return frozenset(name.strip() for name in names.split(",")) if names else None


def _entered(response: requests.Response) -> str:
    if response.status_code in (401, 403):
        return errors.NotAuthorized.reason
    if response.status_code != 200:
        return f"HTTP {response.status_code}"
    try:
        return "ok" if "workspaces" in response.json() else errors.NotUnderstood.reason
    except (ValueError, TypeError):
        return errors.NotUnderstood.reason


def _skew_s(date: str | None, ours: datetime) -> float | None:
    try:
        return (parsedate_to_datetime(date or "") - ours).total_seconds()
    except (ValueError, TypeError):
        return None
