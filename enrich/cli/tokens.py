"""`flask tokens`: tokens of other systems from the command line. Needs the database, and no other setting."""

from __future__ import annotations

import logging
from datetime import timedelta

import click
from flask.cli import with_appcontext

from enrich.accounts import tokens
from enrich.accounts.tokens import ApiTokens
from enrich.cli.base import Group
from enrich.services import current_services

log = logging.getLogger(__name__)


@click.group("tokens", cls=Group)
def tokens_group() -> None:
    """Tokens of other systems, for the API."""


@tokens_group.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="lookup, lookup:claimed (look-ups whose keys are claims only), read (personal data masked, as for a viewer), "
    "read:unmasked (as for an editor), or intake:SOURCE. May be repeated.",
)
@click.option(
    "--days",
    type=click.IntRange(1, tokens.MAX_DAYS),
    default=tokens.DEFAULT_DAYS,
    show_default=True,
    help="Days until the token expires.",
)
@click.option("--never-expires", is_flag=True, help="Make a token that ends only when it is revoked.")
@with_appcontext
def add_token(name: str, scopes: tuple[str, ...], days: int, never_expires: bool) -> None:
    """Add a token called NAME and print it, once."""
    if problem := tokens.name_problem(name):
        raise click.BadParameter(f"{name!r}: {problem}", param_hint="NAME")
    if problem := tokens.scopes_problem(scopes):
        raise click.BadParameter(problem, param_hint="--scope")
    services = current_services()
    now = services.clock.synchronize()
    expires_at = None if never_expires else now + timedelta(days=days)
    added = ApiTokens(services.database).add(name=name, scopes=scopes, now=now, expires_at=expires_at)
    if added is None:
        raise click.ClickException(
            f"There is a token {name.strip()!r} already. Revoke it first, or choose another name."
        )
    token, secret = added
    log.info("token added", extra={"token_id": token.id, "scopes": " ".join(token.scopes)})
    until = f"until {expires_at:%Y-%m-%d}" if expires_at else "until it is revoked"
    click.echo(f"Added {token.name}: {' '.join(token.scopes)}, {until}. It is shown only now:", err=True)
    click.echo(secret)


@tokens_group.command("list")
@with_appcontext
def list_tokens() -> None:
    """List every token, revoked and expired ones, too."""
    services = current_services()
    now = services.clock.synchronize()
    listed = ApiTokens(services.database).list_all()
    if not listed:
        click.echo("No tokens yet. Add the first: flask tokens add NAME --scope lookup")
    for token in listed:
        ends = f"{token.expires_at:%Y-%m-%d}" if token.expires_at else "never"
        used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
        click.echo(
            f"{token.name:<24} {token.prefix}…  {token.state(now):<7} {' '.join(token.scopes)}  "
            f"by {token.created_by or 'command line'} on {token.created_at:%Y-%m-%d}  expires {ends}  used {used}"
        )


@tokens_group.command("revoke")
@click.argument("name")
@with_appcontext
def revoke_token(name: str) -> None:
    """Revoke the token called NAME, at once and for good."""
    services = current_services()
    token = ApiTokens(services.database).revoke(services.clock.synchronize(), name=name)
    if token is None:
        raise click.ClickException(f"There is no token {name.strip()!r}, or it is revoked. See: flask tokens list")
    log.info("token revoked", extra={"token_id": token.id})
    click.echo(f"{token.name} ({token.prefix}…) is revoked.")
