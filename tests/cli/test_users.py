"""`flask users`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from enrich.accounts import users
from enrich.accounts.sessions import Sessions
from enrich.accounts.users import User
from enrich.database.engine import Database
from enrich.settings import read_settings
from tests.support.app import PASSWORD
from tests.support.fixtures import MakeApp


@pytest.fixture
def terminal(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


def test_the_password_is_asked_for_twice(terminal: FlaskCliRunner, database: Database) -> None:
    done = terminal.invoke(
        args=["users", "add", "Ada@example.com", "--role", "admin", "--name", "Ada"], input=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    user = users.sign_in(database, "ada@example.com", PASSWORD)
    assert user
    assert (user.role, user.name) == ("admin", "Ada")


def test_the_password_can_come_from_standard_input(terminal: FlaskCliRunner, database: Database) -> None:
    arguments = ["users", "add", "ada@example.com", "--role", "viewer", "--password-stdin"]
    assert terminal.invoke(args=arguments, input=f"{PASSWORD}\n").exit_code == 0
    assert users.sign_in(database, "ada@example.com", PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "dana@example.com", "--role", "admin"], "has an account already"),
        (["add", "nobody", "--role", "admin"], "not an e-mail address"),
        (["add", "ada@example.com", "--role", "king"], "'king' is not one of"),
        (["add", "ada@example.com"], "--role"),
        (["password", "nobody@example.com"], "There is no account"),
    ],
)
def test_what_cannot_be_done_is_said(terminal: FlaskCliRunner, dana: User, arguments: list[str], said: str) -> None:
    done = terminal.invoke(args=["users", *arguments], input=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code != 0
    assert said in done.output


@pytest.mark.parametrize(
    ("password", "said"),
    [("short", "at least 12 characters"), ("1qaz2wsx3edc", "most common"), ("Lovelace-2026", "mostly a name")],
)
def test_a_password_that_is_guessed_first_is_refused(
    terminal: FlaskCliRunner, database: Database, password: str, said: str
) -> None:
    arguments = ["users", "add", "ada@example.com", "--name", "Ada Lovelace", "--role", "viewer", "--password-stdin"]
    done = terminal.invoke(args=arguments, input=f"{password}\n")
    assert (done.exit_code, said in done.output) == (1, True)
    assert users.find(database, "ada@example.com") is None


def test_a_password_is_changed(terminal: FlaskCliRunner, database: Database, dana: User) -> None:
    arguments = ["users", "password", "dana@example.com", "--password-stdin"]
    assert terminal.invoke(args=arguments, input="something else entirely\n").exit_code == 0
    assert users.sign_in(database, "dana@example.com", "something else entirely")


def test_accounts_are_listed(terminal: FlaskCliRunner, dana: User) -> None:
    listed = terminal.invoke(args=["users", "list"]).output
    assert "dana@example.com" in listed
    assert "viewer" in listed


def test_without_accounts_the_list_says_how_to_add_one(terminal: FlaskCliRunner) -> None:
    assert "flask users add" in terminal.invoke(args=["users", "list"]).output


def test_without_tables_it_is_said_what_to_do_and_no_other_setting_is_needed(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(read_settings({"ENRICH_INSTANCE_PATH": str(tmp_path)}), migrated=False)
    done = app.test_cli_runner().invoke(args=["users", "list"])
    assert done.exit_code != 0
    assert "flask db upgrade" in done.output


def test_a_role_is_changed_and_leaves_a_line(
    terminal: FlaskCliRunner, database: Database, dana: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        done = terminal.invoke(args=["users", "role", "Dana@example.com", "editor"])
    assert done.output.endswith("dana@example.com is editor now.\n")
    changed = users.find(database, dana.email)
    assert changed
    assert changed.role == "editor"
    (line,) = [record for record in caplog.records if record.message == "role changed"]
    assert (line.user_id, line.before, line.after) == (dana.id, "viewer", "editor")  # type: ignore[attr-defined]


def test_who_is_disabled_does_not_sign_in_until_enabled(
    terminal: FlaskCliRunner, database: Database, dana: User
) -> None:
    assert terminal.invoke(args=["users", "disable", dana.email]).exit_code == 0
    assert users.sign_in(database, dana.email, PASSWORD) is None
    assert "inactive" in terminal.invoke(args=["users", "list"]).output
    assert terminal.invoke(args=["users", "enable", dana.email]).exit_code == 0
    assert users.sign_in(database, dana.email, PASSWORD)


def test_who_is_signed_out_everywhere_can_sign_in_again(
    terminal: FlaskCliRunner, database: Database, dana: User
) -> None:
    now = datetime.now(UTC)
    _, token = Sessions(database).begin(dana, "", now)
    done = terminal.invoke(args=["users", "sign-out", "Dana@example.com"])
    assert done.output.endswith("dana@example.com is signed out everywhere (1 session).\n")
    assert Sessions(database).find(token, now) is None
    assert users.sign_in(database, dana.email, PASSWORD)


@pytest.mark.parametrize(
    "arguments",
    [["role", "nobody@example.com", "admin"], ["disable", "nobody@example.com"], ["sign-out", "nobody@example.com"]],
)
def test_nobodys_account_cannot_be_changed(terminal: FlaskCliRunner, database: Database, arguments: list[str]) -> None:
    done = terminal.invoke(args=["users", *arguments])
    assert (done.exit_code, "There is no account" in done.output) == (1, True)
