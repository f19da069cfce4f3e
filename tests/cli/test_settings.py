"""The `flask settings` command."""

from __future__ import annotations

from enrich.settings import Settings
from tests.support.app import run_command as run
from tests.support.fixtures import MakeApp


def test_settings_are_listed_without_their_secrets(make_app: MakeApp, settings: Settings) -> None:
    app = make_app(settings)
    status, output = run(app, "settings")
    assert (status, "TWILIO_AUTH_TOKEN = (set)" in output, settings.twilio_auth_token in output) == (0, True, False)
