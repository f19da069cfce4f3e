"""Every command: its help, and what it says when something is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.app import run_command as run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("crm", "lookup"), "Give either KEY or --attributes"),
        (("crm", "lookup", "--attributes", "[]"), "not a JSON object"),
        (("crm", "lookup", "--attributes", "{"), "not JSON"),
        (("crm", "seed", "nowhere.json"), "does not exist"),
        (("worker",), "TWILIO_ACCOUNT_SID"),
    ],
)
def test_what_is_wrong_is_told_in_words(app: Flask, arguments: tuple[str, ...], told: str) -> None:
    status, output = run(app, *arguments)
    assert status != 0
    assert told in output
    assert "Traceback" not in output


def test_a_database_without_tables_is_told_in_words(new_app: Flask) -> None:
    for command in (
        ("crm", "lookup", "+14155550100"),
        ("crm", "seed", "--demo"),
        ("followups", "list"),
        ("users", "list"),
    ):
        status, output = run(new_app, *command)
        assert (status, "flask db upgrade" in output) == (1, True)


def test_every_command_says_what_it_does(app: Flask) -> None:
    def walk(command: object, name: str) -> Iterator[tuple[str, object]]:
        yield name, command
        for each, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {each}")

    for name, command in walk(app.cli, "flask"):
        assert name == "flask" or getattr(command, "help", None), name
