"""Every setting is documented, read strictly, and told apart when it is wrong."""

from __future__ import annotations

import secrets
from dataclasses import fields
from pathlib import Path

import pytest

from enrich.errors import SettingsError
from enrich.settings import FOR_SERVING, TABLE, Setting, Settings, example, read_settings

ROOT = Path(__file__).parent.parent
GOOD = {
    "SECRET_KEY": "not-a-real-key-for-tests",
    "PUBLIC_URL": "https://hooks.example.test/enrich/",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "not-a-real-token",
}


def test_every_field_has_its_row_in_the_table() -> None:
    assert {setting.field for setting in TABLE} == {field.name for field in fields(Settings)}


def test_the_example_file_is_what_the_table_says() -> None:
    assert (ROOT / ".env.example").read_text() == example()


@pytest.mark.parametrize("setting", [pytest.param(setting, id=setting.name) for setting in TABLE])
def test_the_documentation_explains_every_setting(setting: Setting) -> None:
    default = "required" if setting.name in FOR_SERVING else f"`{setting.default}`" if setting.default else ""
    assert f"| `{setting.name}` | {default} | {setting.help} |" in (ROOT / "docs" / "configuration.md").read_text()


def test_nothing_set_gives_the_defaults() -> None:
    settings = read_settings({})
    assert (settings.attribute, settings.accept_via, settings.budget_s) == ("crm", "callback", 3.5)
    assert settings.database_url.startswith("sqlite:///")


def test_claimed_channels_that_are_set_win_over_verified_ones() -> None:
    verified = {"ENRICH_VERIFIED_CHANNELS": "voice, sms"}
    assert read_settings(verified).verified_channels == ("voice", "sms")
    assert read_settings(verified | {"ENRICH_CLAIMED_CHANNELS": "web"}).verified_channels == ()


def test_event_streams_is_asked_only_beside_twilio_unless_it_is_set() -> None:
    emulator = {"TASKROUTER_BASE_URL": "http://127.0.0.1:8810"}
    assert read_settings({}).event_streams_url == "https://events.twilio.com"
    assert read_settings(emulator).event_streams_url == ""
    own = emulator | {"TWILIO_EVENTS_BASE_URL": "http://127.0.0.1:8811"}
    assert read_settings(own).event_streams_url == "http://127.0.0.1:8811"


def test_an_empty_variable_is_not_set() -> None:
    assert read_settings({"ENRICH_BUDGET_S": ""}).budget_s == 3.5


def test_the_public_url_keeps_its_prefix_and_loses_its_slash() -> None:
    assert read_settings(GOOD).public_url == "https://hooks.example.test/enrich"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "hooks.example.test"),
        ("PUBLIC_URL", "ftp://hooks.example.test"),
        ("PUBLIC_URL", "https://user:word@hooks.example.test"),
        ("PUBLIC_URL", "https://hooks.example.test/?a=1"),
        ("PUBLIC_URL", "https://hooks.example.test:port"),
        ("TWILIO_ACCOUNT_SID", "AC1"),
        ("TWILIO_WORKSPACE_SID", "AC" + "0" * 32),
        ("ENRICH_BUDGET_S", "much"),
        ("ENRICH_BUDGET_S", "4"),
        ("ENRICH_BUDGET_S", "nan"),
        ("ENRICH_ACCEPT_VIA", "carrier pigeon"),
        ("ENRICH_DEFAULT_INSTRUCTION", "redirect"),
        ("ENRICH_DEFAULT_REGION", "USA"),
        ("ENRICH_KEEP_DAYS", "0"),
        ("ENRICH_TRUSTED_PROXIES", "-1"),
        ("TWILIO_API_KEY", "SK" + "0" * 32),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(GOOD | {name: value})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"ENRICH_BUDGET_S": "much", "ENRICH_KEEP_DAYS": "many"})
    assert "ENRICH_BUDGET_S" in str(caught.value)
    assert "ENRICH_KEEP_DAYS" in str(caught.value)


def test_the_server_does_not_start_without_what_it_needs() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({}).require(FOR_SERVING)
    assert all(name in str(caught.value) for name in FOR_SERVING)
    read_settings(GOOD).require(FOR_SERVING)


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("hunter2", "only 7 characters"),
        ("0123456789abcde", "only 15 characters"),
        ("ab" * 20, "only 2 different characters"),
        ("12345678901234567890changeme", "a well-known word"),
    ],
)
@pytest.mark.parametrize("name", ["SECRET_KEY", "METRICS_TOKEN"])
def test_a_secret_that_can_be_guessed_stops_the_start_and_is_not_shown(name: str, secret: str, told: str) -> None:
    settings = read_settings(GOOD | {name: secret})
    with pytest.raises(SettingsError, match=f"{name}: .*{told}") as caught:
        settings.require_strong_secrets()
    assert secret not in str(caught.value)


def test_a_secret_of_sixteen_characters_and_a_generated_one_do_not() -> None:
    for secret in ("0123456789abcdef", secrets.token_hex(32), ""):
        read_settings(GOOD | {"METRICS_TOKEN": secret}).require_strong_secrets()


def test_secrets_do_not_show() -> None:
    shown = repr(read_settings(GOOD | {"DATABASE_URL": "postgresql://u:hidden@h/d", "METRICS_TOKEN": "hidden"}))
    assert "hidden" not in shown
    assert "not-a-real" not in shown
