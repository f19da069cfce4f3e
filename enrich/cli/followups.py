"""Commands for follow-ups: `flask followups list`, `followups retry`."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from enrich.cli.base import Group
from enrich.domain.outcomes import FollowupKind
from enrich.services import current_services


@click.group("followups", cls=Group)
def followups_group() -> None:
    """Pending follow-ups: late enrichment, and work that follows from events."""


@followups_group.command("list")
@with_appcontext
def list_followups() -> None:
    """List follow-ups that are pending or were given up, the newest 100."""
    lines = current_services().adapters.followups.overview()
    for line in lines:
        state = f"due {line.due_at:%Y-%m-%d %H:%M:%S} UTC" if line.due_at else "given up"
        attempts = f"tried {line.attempts} times" + (f", last {line.last_reason}" if line.last_reason else "")
        kind = line.kind if line.kind in set(FollowupKind) else f"{line.kind} (unknown to this version)"
        click.echo(f"{line.id}  {kind}  {line.task_sid}  {state}, {attempts}")
    if not lines:
        click.echo("No pending follow-ups.")


@followups_group.command("retry")
@click.argument("ids", nargs=-1, type=int, required=True)
@with_appcontext
def retry(ids: tuple[int, ...]) -> None:
    """Retry the follow-ups IDS now, with their attempts reset."""
    services = current_services()
    count = services.adapters.followups.retry(ids, services.clock.synchronize())
    others = "" if count == len(ids) else "; the others are done, or do not exist"
    click.echo(f"{count} of {len(ids)} will be retried{others}")
    if not count:
        raise SystemExit(1)
