"""The `flask followups` commands."""

from __future__ import annotations

from flask import Flask

from tests.support.app import run_command as run


def test_followups_are_listed(app: Flask) -> None:
    assert run(app, "followups", "list") == (0, "No pending follow-ups.\n")
    assert run(app, "followups", "retry", "7")[0] == 1
