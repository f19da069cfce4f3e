"""`flask users`: staff accounts from the command line. Needs the database, and no other setting."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

import click
from flask.cli import with_appcontext

from enrich.accounts import passwords, users
from enrich.accounts.sessions import Sessions
from enrich.accounts.tables import Role
from enrich.cli.base import Group
from enrich.services import current_services

log = logging.getLogger(__name__)


@click.group("users", cls=Group)
def users_group() -> None:
    """Staff accounts and their roles."""


@users_group.command("add")
@click.argument("email")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    required=True,
    help="viewer: personal data masked; editor: sees it, identifies and edits customers; admin: also manages accounts.",
)
@click.option("--name", default="", help="Shown on the pages; default: the e-mail address.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@with_appcontext
def add_user(email: str, role: str, name: str, password_stdin: bool) -> None:
    """Add an account for EMAIL. Asks for the password."""
    if users.email_problem(email):
        raise click.BadParameter(f"{email!r} is not an e-mail address.", param_hint="EMAIL")
    if problem := users.name_problem(name):
        raise click.BadParameter(f"{name!r}: {problem}", param_hint="--name")
    database = current_services().database
    if users.find(database, email):
        raise _taken(email)
    password = _read_password((email, name), from_stdin=password_stdin)
    user = users.add(database, email=email, role=Role(role), password=password, name=name)
    if not user:
        raise _taken(email)
    log.info("account added", extra={"user_id": user.id, "role": user.role})
    click.echo(f"Added {users.normal_email(email)} as {role}. They sign in at /login.")


@users_group.command("password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@with_appcontext
def set_password(email: str, password_stdin: bool) -> None:
    """Set a new password for EMAIL, and end their sessions."""
    database = current_services().database
    user = users.find(database, email)
    if not user:
        raise _unknown(email)
    password = _read_password((user.email, user.name), from_stdin=password_stdin)
    if not users.set_password(database, email, password):
        raise _unknown(email)
    log.info("password set", extra={"user_id": user.id})
    click.echo(f"{users.normal_email(email)} has a new password, and is signed out everywhere.")


@users_group.command("role")
@click.argument("email")
@click.argument("role", type=click.Choice([str(role) for role in Role]))
@with_appcontext
def set_role(email: str, role: str) -> None:
    """Change the role of EMAIL, from their next request on."""
    database = current_services().database
    before = users.find(database, email)
    user = users.set_role(database, email, Role(role))
    if not before or not user:
        raise _unknown(email)
    log.info("role changed", extra={"user_id": user.id, "before": before.stored_role, "after": user.role})
    click.echo(f"{user.email} is {user.role} now.")


@users_group.command("sign-out")
@click.argument("email")
@with_appcontext
def sign_out(email: str) -> None:
    """End all sessions of EMAIL, who may sign in again."""
    database = current_services().database
    user = users.find(database, email)
    if not user:
        raise _unknown(email)
    count = Sessions(database).end_all(user.id)
    log.info("sessions ended", extra={"user_id": user.id, "count": count})
    click.echo(f"{user.email} is signed out everywhere ({count} {'session' if count == 1 else 'sessions'}).")


@users_group.command("disable")
@click.argument("email")
@with_appcontext
def disable(email: str) -> None:
    """Disable the account EMAIL, and end its sessions. Its audit trail stays."""
    _set_active(email, active=False)
    click.echo(f"{users.normal_email(email)} is signed out everywhere, and cannot sign in. Undo: flask users enable")


@users_group.command("enable")
@click.argument("email")
@with_appcontext
def enable(email: str) -> None:
    """Enable the account EMAIL again, with its old password."""
    _set_active(email, active=True)
    click.echo(f"{users.normal_email(email)} can sign in again.")


@users_group.command("list")
@with_appcontext
def list_users() -> None:
    """List every account."""
    accounts = users.list_all(current_services().database)
    if not accounts:
        click.echo("No accounts yet. Add the first: flask users add EMAIL --role admin")
    for user in accounts:
        state = "" if user.active else "  inactive"
        click.echo(
            f"{user.email:<40} {user.stored_role:<7} since {user.created_at:%Y-%m-%d}  {user.name}{state}".rstrip()
        )


def _set_active(email: str, *, active: bool) -> None:
    user = users.set_active(current_services().database, email, active=active)
    if not user:
        raise _unknown(email)
    log.info("account enabled" if active else "account disabled", extra={"user_id": user.id})


def _read_password(about: Iterable[str], *, from_stdin: bool) -> str:
    """Return the password that is typed. about: e-mail and name of its owner. Raises ClickException if it is weak."""
    password = (
        sys.stdin.readline().rstrip("\r\n")
        if from_stdin
        else str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    )
    if problem := passwords.problem(password, about):
        raise click.ClickException(problem)
    return password


def _taken(email: str) -> click.ClickException:
    return click.ClickException(
        f"{users.normal_email(email)} has an account already. For a new password: flask users password EMAIL"
    )


def _unknown(email: str) -> click.ClickException:
    return click.ClickException(f"There is no account {users.normal_email(email)}. See: flask users list")
