"""The real browser of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.support.app import EMAIL, PASSWORD

CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium")


def collect_complaints(page: Page, complaints: list[str]) -> None:
    """Add to the list, as they come, the errors in the page's console, violations of its security policy included."""

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))


def sign_in(page: Page, path: str = "/", *, email: str = EMAIL) -> None:
    """Sign in where the page at this path asks for it, and wait until it is shown."""
    page.goto(path)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    # The button is there before the page's scripts have run; a key pressed until then does what it does without them.
    page.wait_for_load_state()
