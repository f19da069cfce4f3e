"""What the views and commands work with: the adapters of one app, made once by `app.create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from enrich import errors
from enrich.database.engine import Database
from enrich.flows.work import Tools
from enrich.journal.followups import Owed
from enrich.journal.heartbeats import Heartbeats
from enrich.journal.rollups import Tallies
from enrich.resilience.admission import Admission
from enrich.settings import Settings
from enrich.telemetry.metrics import Metrics
from enrich.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """The adapters of one app. Everything in it may be shared between greenlets and threads.

    admission: which assignment callbacks this process works on. metrics: what is counted. tracing: None where nobody
    has asked for traces. policy_error: what is wrong with the policy file, in a command, which may have nothing to do
    with it; the rules are then without one.
    """

    settings: Settings
    database: Database
    tools: Tools
    owed: Owed
    heartbeats: Heartbeats
    tallies: Tallies
    admission: Admission
    metrics: Metrics
    tracing: Tracing | None
    policy_error: errors.PolicyError | None = None

    def require_policy(self) -> None:
        """For whoever works by the rules. Raises PolicyError."""
        if self.policy_error is not None:
            raise self.policy_error


def parts() -> Parts:
    """Those of the current app."""
    return cast(Parts, current_app.extensions["enrich"])
