"""Findings on the account: credentials, and the workspace of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enrich.diagnosis.snapshot import WorkspaceSnapshot
from enrich.domain.findings import Finding, ok, problem, warning


def credentials(rest: str, token: str | None) -> Iterator[Finding]:
    """Check the credentials. rest, token: "ok", or TaskRouter's reason for refusing the REST credentials or the token.

    token: None if the token itself is used for REST. Only it verifies webhooks; a valid API key proves nothing.
    """
    if rest == "not_authorized":
        yield problem(
            "credentials",
            "TaskRouter refuses the credentials",
            "no task can be fetched or written, so nothing is enriched",
            "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET, and the region",
        )
    elif rest != "ok":
        yield problem(
            "credentials",
            f"TaskRouter's API does not respond: {rest}",
            "no task can be fetched or written, so nothing is enriched in time",
            "check TASKROUTER_BASE_URL, and whether this machine can reach it",
        )
    else:
        yield ok("credentials", "TaskRouter accepts the credentials")
    match token:
        case "not_authorized":
            yield problem(
                "auth_token",
                "the API key is valid, and TWILIO_AUTH_TOKEN is not",
                "webhooks are signed with the account's primary auth token: every one would be refused",
                "set TWILIO_AUTH_TOKEN to the primary token; during a rotation, the coming one to "
                "TWILIO_AUTH_TOKEN_NEXT",
            )
        case "ok":
            yield ok("auth_token", "TWILIO_AUTH_TOKEN is the account's")


def workspace(workspaces: Sequence[WorkspaceSnapshot], configured_sid: str) -> Finding:
    """Check the workspace. workspaces: those of the account. configured_sid: TWILIO_WORKSPACE_SID, or ""."""
    if configured_sid:
        configured = next((workspace for workspace in workspaces if workspace.sid == configured_sid), None)
        if configured is None:
            return problem(
                "workspace",
                f"there is no workspace {configured_sid} in this account",
                "callbacks of every other workspace are refused with 403",
                "set TWILIO_WORKSPACE_SID to one of: "
                + (", ".join(f"{workspace.sid} ({workspace.name})" for workspace in workspaces) or "none there"),
            )
        return ok("workspace", f"{configured.name!r} exists ({configured.sid})")
    if not workspaces:
        return problem(
            "workspace",
            "the account has no workspace",
            "there is nothing to enrich",
            "create one: flask taskrouter provision",
        )
    if len(workspaces) > 1:
        return warning(
            "workspace",
            f"the account has {len(workspaces)} workspaces, and TWILIO_WORKSPACE_SID is not set",
            "callbacks of each are answered",
            "set TWILIO_WORKSPACE_SID to serve only one",
        )
    return ok("workspace", f"{workspaces[0].name!r} is the only one ({workspaces[0].sid})")
