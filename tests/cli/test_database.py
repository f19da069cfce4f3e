"""The `flask db` commands."""

from __future__ import annotations

import pytest
from flask import Flask

from enrich.database import migrations
from tests.support.app import run_command as run
from tests.support.app import services_of
from tests.support.fixtures import MakeApp


def test_a_database_comes_up_and_goes_down(new_app: Flask) -> None:
    assert run(new_app, "db", "current")[1].startswith("at nothing; this version needs")
    head = migrations.revisions(services_of(new_app).database)[1]
    assert run(new_app, "db", "upgrade") == (0, f"at {head}\n")
    status, output = run(new_app, "db", "downgrade", "base")  # nobody is there to say yes
    assert (status, "will be deleted" in output) == (1, True)
    assert run(new_app, "db", "current") == (0, f"at {head}\n")
    assert run(new_app, "db", "downgrade", "base", "--yes")[0] == 0


def test_one_step_down_is_written_as_the_help_writes_it(new_app: Flask) -> None:
    run(new_app, "db", "upgrade")
    head = migrations.revisions(services_of(new_app).database)[1]
    assert run(new_app, "db", "downgrade", "-1", "--yes")[0] == 0
    assert migrations.revisions(services_of(new_app).database)[0] not in (None, head)


def test_an_option_that_does_not_exist_is_refused(new_app: Flask) -> None:
    run(new_app, "db", "upgrade")
    before = run(new_app, "db", "current")
    assert run(new_app, "db", "downgrade", "--force", "--yes")[0] != 0
    assert run(new_app, "db", "current") == before


def test_a_revision_that_does_not_exist_is_told_in_words(new_app: Flask) -> None:
    status, output = run(new_app, "db", "upgrade", "9999")
    assert (status, "9999" in output, "Traceback" in output) == (1, True, False)


@pytest.mark.parametrize("command", [("current",), ("upgrade",), ("downgrade", "base"), ("downgrade", "-1", "--yes")])
def test_no_command_tells_the_password(make_app: MakeApp, command: tuple[str, ...]) -> None:
    url = "postgresql://enrich:secret@127.0.0.1:1/crm?sslpassword=secret"
    status, output = run(make_app(migrated=False, DATABASE_URL=url), "db", *command)
    assert (status, "secret" in output, "Traceback" in output) == (1, False, False)
    assert "127.0.0.1" in output
