"""Base classes of the `flask` commands: an expected error ends a command with one line and status 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from enrich import errors


@contextmanager
def foreseen_errors() -> Iterator[None]:
    """Raise ClickException, which ends the command, for every expected error of ours."""
    try:
        yield
    except errors.EnrichError as exc:
        raise click.ClickException(f"{exc.reason}: {exc}") from exc


class Command(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        with foreseen_errors():
            return super().invoke(ctx)


class Group(click.Group):
    command_class = Command
