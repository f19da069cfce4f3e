"""Commands for TaskRouter over REST: `flask taskrouter …`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from math import ceil

import click
from flask.cli import with_appcontext

from enrich import settings
from enrich.cli.base import Group
from enrich.cli.doctor import doctor
from enrich.cli.policy import policy
from enrich.cli.provision import describe, provision
from enrich.domain.outcomes import FollowupKind
from enrich.flows.catch_up import CatchUp
from enrich.flows.completion import CompletionRequest
from enrich.services import Services, current_services
from enrich.taskrouter import callbacks

# The command's time for all that was missed; what is then left takes another run.
CATCH_UP_S = 300.0


@click.group(cls=Group)
def taskrouter() -> None:
    """TaskRouter over REST: set-up, checks, policy, catch-up, wrap-up and completion."""


taskrouter.add_command(policy)


taskrouter.add_command(provision)


taskrouter.add_command(describe)


taskrouter.add_command(doctor)


@taskrouter.command("catch-up")
@click.option("--minutes", type=click.IntRange(1, 30 * 24 * 60), default=60, show_default=True, help="How far back.")
@with_appcontext
def catch_up(minutes: int) -> None:
    """Record events and callbacks that were missed, and queue their enrichment."""
    services = current_services()
    services.settings.require(settings.FOR_REST)
    services.require_policy()
    now = services.clock.synchronize()
    run = make_catch_up(services).run(now - timedelta(minutes=minutes), now, timeout_s=CATCH_UP_S)
    click.echo(f"{run.count} brought in")
    if run.error or run.was_cut_short:
        reason = f"{run.error.reason}: {run.error}" if run.error else f"{CATCH_UP_S:.0f} seconds are over"
        left = ceil((now - run.since) / timedelta(minutes=1))
        raise click.ClickException(
            f"{reason}. Everything before {run.since:%Y-%m-%d %H:%M:%S} UTC was read; "
            f"to go on: flask taskrouter catch-up --minutes {left + 1}"
        )


def make_catch_up(services: Services) -> CatchUp:
    """Return the catch-up of every workspace of the services."""
    return CatchUp(services.adapters, services.lifecycle, partial(_workspaces, services))


def find_stuck(services: Services, now: datetime) -> int:
    """Return the number of tasks that wrap up too long, in every workspace; each gets a follow-up."""
    if services.rules.policy.wrapup.complete_after_s is None:
        return 0
    return sum(services.completion.find_stuck(workspace_sid, now) for workspace_sid in _workspaces(services))


def _workspaces(services: Services) -> Sequence[str]:
    """Return the workspace of the settings, else those in the journal."""
    configured = services.settings.twilio_workspace_sid
    return [configured] if configured else services.adapters.journal.recent_workspaces()


@taskrouter.command("wrap-up")
@click.argument("task_sid", metavar="TASK")
@click.option("--reservation", help="SID of a reservation: only this worker's part of the work.")
@click.option("--workspace", help="Workspace of TASK (default: the configured one, or the one in the journal).")
@with_appcontext
def wrap_up(task_sid: str, reservation: str | None, workspace: str | None) -> None:
    """Put TASK into wrapping. A task that is already further stays as it is."""
    _carry_out(FollowupKind.WRAP_UP, task_sid, reservation, workspace)


@taskrouter.command("complete")
@click.argument("task_sid", metavar="TASK")
@click.option("--outcome", default="", help="Outcome of the work, for the task and the customer's history.")
@click.option("--reason", default="", help="Reason that TaskRouter keeps on the task.")
@click.option("--reservation", help="SID of a reservation: only this worker's part of the work.")
@click.option("--workspace", help="Workspace of TASK (default: the configured one, or the one in the journal).")
@with_appcontext
def complete(task_sid: str, outcome: str, reason: str, reservation: str | None, workspace: str | None) -> None:
    """Complete TASK, from assigned or wrapping. A task that is completed or gone needs nothing."""
    _carry_out(FollowupKind.COMPLETE, task_sid, reservation, workspace, outcome, reason)


def _carry_out(
    kind: FollowupKind,
    task_sid: str,
    reservation: str | None,
    workspace: str | None,
    outcome: str = "",
    reason: str = "",
) -> None:
    services = current_services()
    services.settings.require(settings.FOR_REST)
    for name, sid, prefix in (("TASK", task_sid, "WT"), ("--reservation", reservation, "WR")):
        if sid is not None and callbacks.sid_or_none({name: sid}, name, prefix) is None:
            raise click.BadParameter(f"must be a SID: {prefix} and 32 hexadecimal digits", param_hint=name)
    workspace_sid = (
        workspace or services.settings.twilio_workspace_sid or services.adapters.task_states.workspace_of(task_sid)
    )
    if not workspace_sid:
        raise click.UsageError("The journal has no such task: give its --workspace.")
    request = CompletionRequest(kind, workspace_sid, task_sid, "command line", outcome, reason, reservation)
    has_ended, reason_not_done = services.dispatcher.run_now(services.completion.request(request))
    if not has_ended:
        raise click.ClickException(
            f"{reason_not_done or 'a worker is working on it'}: it stays in the queue, and flask worker retries it"
        )
    if reason_not_done:
        raise click.ClickException(f"not done: {reason_not_done}")
    click.echo("done")
