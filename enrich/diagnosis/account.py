"""Findings on the account: credentials, and the workspace of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enrich.diagnosis.findings import Finding, ok, problem, warning
from enrich.diagnosis.snapshot import SeenWorkspace


def credentials(rest: str, token: str | None) -> Iterator[Finding]:
    """Check the credentials. rest, token: "ok", or TaskRouter's reason for refusing the REST credentials and the token.

    token: None where the token is what we use for REST. Only it can verify webhooks; an API key proves nothing of it.
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


def workspace(seen: Sequence[SeenWorkspace], wanted_sid: str) -> Finding:
    """Check the workspace. seen: the account's workspaces. wanted_sid: TWILIO_WORKSPACE_SID, or ""."""
    if wanted_sid:
        found = next((each for each in seen if each.sid == wanted_sid), None)
        if found is None:
            return problem(
                "workspace",
                f"there is no workspace {wanted_sid} in this account",
                "callbacks of every other workspace are refused with 403",
                "set TWILIO_WORKSPACE_SID to one of: "
                + (", ".join(f"{w.sid} ({w.name})" for w in seen) or "none there"),
            )
        return ok("workspace", f"{found.name!r} exists ({found.sid})")
    if not seen:
        return problem(
            "workspace",
            "the account has no workspace",
            "there is nothing to enrich",
            "create one: flask taskrouter provision",
        )
    if len(seen) > 1:
        return warning(
            "workspace",
            f"the account has {len(seen)} workspaces, and TWILIO_WORKSPACE_SID is not set",
            "callbacks of each are answered",
            "set TWILIO_WORKSPACE_SID to serve only one",
        )
    return ok("workspace", f"{seen[0].name!r} is the only one ({seen[0].sid})")
