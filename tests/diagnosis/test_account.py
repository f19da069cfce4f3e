"""Credentials and the workspace that is meant, when all is well and when it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enrich.diagnosis import account
from enrich.domain.findings import Level
from tests.support.diagnosis import OK, PROBLEM, WARNING, WORKSPACE, expect


@pytest.mark.parametrize(
    ("rest", "token", "check", "level"),
    [
        ("ok", None, "credentials", OK),
        ("not_authorized", None, "credentials", PROBLEM),
        ("HTTP 503", None, "credentials", PROBLEM),
        ("ok", "ok", "auth_token", OK),
        ("ok", "not_authorized", "auth_token", PROBLEM),
    ],
)
def test_credentials(rest: str, token: str | None, check: str, level: Level) -> None:
    expect(account.credentials(rest, token), check, level)


def test_workspace() -> None:
    other = replace(WORKSPACE, sid="WS2", name="Sales")
    expect(account.workspace((WORKSPACE,), ""), "workspace", OK, "'Support' is the only one")
    expect(account.workspace((WORKSPACE, other), "WS2"), "workspace", OK, "'Sales' exists")
    expect(account.workspace((WORKSPACE, other), ""), "workspace", WARNING, "2 workspaces")
    expect(account.workspace((WORKSPACE,), "WS9"), "workspace", PROBLEM, "WS1 (Support)")
    expect(account.workspace((), ""), "workspace", PROBLEM, "provision")
