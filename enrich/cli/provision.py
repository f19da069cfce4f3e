"""`flask taskrouter provision` sets a workspace up from a file; `describe` writes the file of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from enrich import errors
from enrich.cli.base import Command
from enrich.provisioning import apply, plan_text
from enrich.provisioning import describe as provisioning_describe
from enrich.provisioning import file as provisioning_file
from enrich.provisioning.plan import Desired, Kind, Resource
from enrich.services import current_services
from enrich.settings import FOR_REST, Settings
from enrich.taskrouter import endpoints

if TYPE_CHECKING:
    from enrich.provisioning.workspace import Workspaces

CHANGES_PENDING = 3


@click.command("provision", cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default="taskrouter.toml")
@click.option("--plan", "only_plan", is_flag=True, help="Only show the changes; exit status 3 if there are any.")
@click.option("--reevaluate", is_flag=True, help="Route waiting tasks again where the routing changes.")
@with_appcontext
def provision(file: Path, only_plan: bool, reevaluate: bool) -> None:
    """Set up the workspace as in FILE (default: taskrouter.toml). A second run changes nothing.

    Nothing is ever deleted: resources at Twilio that are not in FILE are listed as drift, and left alone. The format of
    FILE is in docs/provisioning.md. Status: 0 done or nothing to do, 1 not done, 3 (with --plan) something to do.
    """
    settings = current_services().settings
    settings.require((*FOR_REST, "PUBLIC_URL"))
    desired = provisioning_file.read(_text(file), settings.public_url, workspace_sid=settings.twilio_workspace_sid)
    workspaces = workspaces_of(settings, reevaluate=reevaluate)
    plan = apply.plan(desired, workspaces)
    for line in plan_text.plan_lines(plan):
        click.echo(line)
    if only_plan:
        raise SystemExit(CHANGES_PENDING if plan.to_do else 0)
    if plan.to_do:
        click.echo()
        count = apply.provision(desired, workspaces, plan, lambda step, sid: click.echo(plan_text.done_line(step, sid)))
        click.echo(f"{count} done.")
    if not settings.twilio_workspace_sid:
        click.echo(f"To serve only this workspace: TWILIO_WORKSPACE_SID={workspaces.sid}")


@click.command("describe", cls=Command)
@click.argument("name", default="")
@with_appcontext
def describe(name: str) -> None:
    """Print a file for `provision` that describes an existing workspace.

    The workspace is that of TWILIO_WORKSPACE_SID, or the one called NAME, or the only one. Workers are left out.
    """
    settings = current_services().settings
    settings.require((*FOR_REST, "PUBLIC_URL"))
    actual = workspaces_of(settings).read(Desired(Resource(Kind.WORKSPACE, name), may_create=False, resources=()))
    if actual.workspace is None:
        raise errors.PlanRefused(f"there is no workspace {name!r} in this account" if name else "there is none")
    text = provisioning_describe.describe(actual, settings.public_url, streamed_events=_streamed_events(settings))
    click.echo(text, nl=False)


def _streamed_events(settings: Settings) -> frozenset[str]:
    """Return the events that Event Streams delivers to this service; none where it may not be asked."""
    from enrich.taskrouter.event_sinks import EventSinks

    if not settings.event_streams_url:
        return frozenset()
    try:
        sinks = EventSinks(settings.event_streams_url, settings.twilio_account_sid, *settings.rest_credentials).read()
    except errors.TaskRouterError as exc:
        click.echo(f"note: Event Streams could not be read: {exc.reason}", err=True)
        return frozenset()
    destination = settings.public_url + endpoints.EVENT_STREAMS
    return max(
        (sink.events for sink in sinks if sink.destination == destination and sink.is_active),
        key=len,
        default=frozenset(),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise errors.WorkspaceFileError(f"{file}: not UTF-8 at byte {exc.start}") from exc
    except OSError as exc:
        raise errors.WorkspaceFileError(f"{file}: cannot be read: {exc.strerror}") from exc


def workspaces_of(settings: Settings, *, reevaluate: bool = False) -> Workspaces:
    # Imported here: the SDK is large, and the web processes know this module for its commands' names.
    from enrich.provisioning.workspace import Workspaces

    return Workspaces(
        settings.taskrouter_base_url,
        settings.twilio_account_sid,
        *settings.rest_credentials,
        settings.twilio_workspace_sid,
        reevaluate=reevaluate,
        event_streams_url=settings.event_streams_url,
    )
