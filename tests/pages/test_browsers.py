"""The families of browsers, by the headers that they send."""

from __future__ import annotations

import pytest

from enrich.pages.browsers import browser_family

MOZILLA = "Mozilla/5.0"
KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        (f"{MOZILLA} (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) {KIT} Chrome/143.0.0.0 Safari/537.36", "Chrome on Windows"),
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) {KIT} Chrome/143.0.0.0 Safari/537.36 Edg/143.0", "Edge on Windows"),
        (f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) {KIT} Version/26.0 Safari/605.1.15", "Safari on macOS"),
        (f"{MOZILLA} (iPhone; CPU iPhone OS 18_7 like Mac OS X) {KIT} CriOS/143.0 Safari/604.1", "Chrome on iPhone"),
        (f"{MOZILLA} (Linux; Android 10; K) {KIT} Chrome/143.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{MOZILLA} (X11; CrOS x86_64 14541.0.0) {KIT} Chrome/143.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        ("Firefox/1", "Firefox"),
        ("curl/8.14.1", ""),
        ("<b>\0", ""),
        ("", ""),
    ],
)
def test_a_browser_is_called_by_its_family_and_system(user_agent: str, family: str) -> None:
    assert browser_family(user_agent) == family
