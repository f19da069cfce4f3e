"""The application: made twice, guarded everywhere, and the commands that come with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from enrich.database import migrations
from enrich.errors import SettingsError
from enrich.settings import Settings

# Routes without a guard, each on purpose.
OPEN = {"/healthz", "/readyz", "/metrics", "/login", "/logout", "/static/<path:filename>"}


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    app.extensions["enrich"].database.close()


def test_two_apps_do_not_share_anything(settings: Settings, tmp_path: Path) -> None:
    apps = [create_app(settings), create_app(replace(settings, database_url=f"sqlite:///{tmp_path / 'other.db'}"))]
    urls = {str(app.extensions["enrich"].database.url) for app in apps}
    assert len(urls) == 2
    for app in apps:
        app.extensions["enrich"].database.close()


def test_every_route_has_a_guard_or_is_open_on_purpose(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        blueprint = rule.endpoint.rpartition(".")[0]
        guards = app.before_request_funcs.get(blueprint or None, [])
        assert guards or rule.rule in OPEN, rule


def test_what_nobody_signed_in_for_is_refused(app: Flask) -> None:
    """Whatever the guards look like: without a session no page gives anything away. For what TaskRouter calls see
    `webhooks/test_views.py`."""
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.rule in OPEN:
            continue
        path = re.sub(r"<[^<>]*task_sid>", "WT" + "1" * 32, rule.rule)
        path = re.sub(r"<[^<>]*(entry_id|audit_id|customer_id|user_id)>", "1", path)
        assert "<" not in path, rule
        for method in (rule.methods or set()) & {"GET", "POST"}:
            response = client.open(path, method=method)
            assert response.status_code in (302, 400, 401, 403), (rule, method, response.status_code)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lookup_keys": "from:"}, "ENRICH_LOOKUP_KEYS"),
        ({"lookup_keys": "crm.customer_id"}, "ENRICH_LOOKUP_KEYS"),
        ({"own_numbers": ("nonsense",)}, "ENRICH_OWN_NUMBERS"),
    ],
)
def test_a_wrong_look_up_rule_stops_the_start(settings: Settings, change: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        create_app(replace(settings, **change))  # type: ignore[arg-type]


class TestCommands:
    @pytest.fixture
    def app(self, settings: Settings) -> Iterator[Flask]:
        """Nothing of Twilio's is set, and no secret key."""
        app = create_app(replace(settings, twilio_account_sid="", twilio_auth_token="", secret_key="", public_url=""))
        yield app
        app.extensions["enrich"].database.close()

    def run(self, app: Flask, *arguments: str) -> tuple[int, str]:
        result = app.test_cli_runner().invoke(args=list(arguments))
        return result.exit_code, result.output

    def test_a_database_comes_up_and_goes_down(self, app: Flask) -> None:
        assert self.run(app, "db", "current")[1].startswith("at nothing; this version needs")
        head = migrations.revisions(app.extensions["enrich"].database)[1]
        assert self.run(app, "db", "upgrade") == (0, f"at {head}\n")
        status, output = self.run(app, "db", "downgrade", "base")  # nobody is there to say yes
        assert (status, "will be deleted" in output) == (1, True)
        assert self.run(app, "db", "current") == (0, f"at {head}\n")
        assert self.run(app, "db", "downgrade", "base", "--yes")[0] == 0

    def test_a_revision_that_does_not_exist_is_told_in_words(self, app: Flask) -> None:
        status, output = self.run(app, "db", "upgrade", "9999")
        assert (status, "9999" in output, "Traceback" in output) == (1, True, False)

    def test_seeding_twice_changes_nothing_the_second_time(self, app: Flask) -> None:
        self.run(app, "db", "upgrade")
        assert self.run(app, "crm", "seed") == (0, "builtin.json: 14 new, 0 changed, 0 unchanged\n")
        assert self.run(app, "crm", "seed") == (0, "builtin.json: 0 new, 0 changed, 14 unchanged\n")

    def test_a_bad_row_is_told_and_the_others_load(self, app: Flask, tmp_path: Path) -> None:
        self.run(app, "db", "upgrade")
        file = tmp_path / "some.jsonl"
        file.write_text('{"id":"C-1","name":"A","phones":["+14155550101"]}\n{"id":"C-2"}\n{"id":"C-3","name":"B"}\n')
        status, output = self.run(app, "crm", "seed", str(file))
        assert status == 1
        assert "line 2" in output
        assert "name" in output
        assert "2 new" in output
        assert "1 not loaded" in output

    def test_what_is_exported_is_what_was_seeded(self, app: Flask, tmp_path: Path) -> None:
        self.run(app, "db", "upgrade")
        self.run(app, "crm", "seed")
        file = tmp_path / "all.jsonl"
        assert self.run(app, "crm", "export", str(file))[0] == 0
        assert self.run(app, "crm", "seed", str(file)) == (0, "all.jsonl: 0 new, 0 changed, 14 unchanged\n")

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("+1 415 555 0100",), '"customer_id": "C-1001"'),
            (("whatsapp:+447700900123",), '"customer_id": "C-1005"'),
            (("ada@example.com",), '"customer_id": "C-1001"'),
            (("A-17",), '"customer_id": "C-1001"'),
            (("A-17", "--kind", "account_number"), '"customer_id": "C-1001"'),
            (("C-1003",), '"customer_id": "C-1003"'),
            (("+16175550142",), '"match": "ambiguous"'),
            (("anonymous",), "hides the number"),
            (("--attributes", '{"channelType":"web","email":"ada@example.com"}'), '"match": "claimed"'),
        ],
    )
    def test_lookup_explains_what_would_match(self, app: Flask, arguments: tuple[str, ...], expected: str) -> None:
        self.run(app, "db", "upgrade")
        self.run(app, "crm", "seed")
        status, output = self.run(app, "crm", "lookup", *arguments)
        assert status == 0, output
        assert expected in output

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
    def test_what_is_wrong_is_told_in_words(self, app: Flask, arguments: tuple[str, ...], told: str) -> None:
        self.run(app, "db", "upgrade")
        status, output = self.run(app, *arguments)
        assert status != 0
        assert told in output
        assert "Traceback" not in output

    def test_a_database_without_tables_is_told_in_words(self, app: Flask) -> None:
        for command in (("crm", "lookup", "+14155550100"), ("crm", "seed"), ("followups", "list"), ("users", "list")):
            status, output = self.run(app, *command)
            assert (status, "flask db upgrade" in output) == (1, True)

    def test_followups_are_listed(self, app: Flask) -> None:
        self.run(app, "db", "upgrade")
        assert self.run(app, "followups", "list") == (0, "nothing is owed\n")
        assert self.run(app, "followups", "retry", "7")[0] == 1

    def test_settings_are_listed_without_their_secrets(self, settings: Settings) -> None:
        app = create_app(settings)
        status, output = self.run(app, "settings")
        assert (status, "TWILIO_AUTH_TOKEN = (set)" in output, settings.twilio_auth_token in output) == (0, True, False)
        app.extensions["enrich"].database.close()

    def test_every_command_says_what_it_does(self, app: Flask) -> None:
        def walk(command: object, name: str) -> Iterator[tuple[str, object]]:
            yield name, command
            for each, inner in getattr(command, "commands", {}).items():
                yield from walk(inner, f"{name} {each}")

        for name, command in walk(app.cli, "flask"):
            assert name == "flask" or getattr(command, "help", None), name
