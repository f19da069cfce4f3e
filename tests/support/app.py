"""Settings and signed requests for an application in the test's own process."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from flask import Flask
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

from enrich.services import Services
from enrich.settings import Settings, read_settings

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "not-a-real-token"
SECRET_KEY = "not-a-real-key-for-tests"
PUBLIC_URL = "https://hooks.example.test"

# The person whom the pages are shown to.
EMAIL = "dana@example.com"
PASSWORD = "correct horse battery"


def make_settings(folder: Path, **environment: str) -> Settings:
    """Return settings to serve with; what they write goes into the folder.

    environment: variables by their names, beside or instead of the defaults here; "" is the same as not set.
    """
    defaults = {
        "SECRET_KEY": SECRET_KEY,
        "PUBLIC_URL": PUBLIC_URL,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "ENRICH_INSTANCE_PATH": str(folder),
    }
    return read_settings(defaults | environment)


def services_of(app: Flask) -> Services:
    """Return what the application works with."""
    services: Services = app.extensions["enrich"]
    return services


def sign(path: str, form: dict[str, str], *, public_url: str = PUBLIC_URL, auth_token: str = AUTH_TOKEN) -> str:
    """Return Twilio's signature of this form, sent to this path."""
    return str(RequestValidator(auth_token).compute_signature(public_url + path, form))


def post_signed(app: Flask, path: str, form: dict[str, str], *, signature: str = "", sent_to: str = "") -> TestResponse:
    """Post a form as Twilio does. signature: instead of the right one; sent_to: another path than the signed one."""
    return app.test_client().post(
        "/",
        environ_overrides={"PATH_INFO": sent_to or path},
        data=urlencode(form),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": signature or sign(path, form)},
    )


def run_command(app: Flask, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
    """Run a `flask` command and return its exit status and its output."""
    result = app.test_cli_runner().invoke(args=list(arguments), input=stdin)
    return result.exit_code, result.output
