"""The family of a browser, as somebody recognises their own: "Firefox on Windows"."""

from __future__ import annotations

# In this order: most browsers also name those that they are compatible with.
_FAMILIES = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_family(user_agent: str) -> str:
    """Return browser and system in words of ours; "" for a program that is no known browser."""
    family = next((word for token, word in _FAMILIES if token in user_agent), "")
    system = next((word for token, word in _SYSTEMS if token in user_agent), "")
    return f"{family} on {system}" if family and system else family
