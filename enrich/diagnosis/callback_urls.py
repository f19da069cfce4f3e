"""Comparison of a URL configured at Twilio with PUBLIC_URL: ours, nearly ours, and the differences.

The signature covers the URL as configured at Twilio, so a request to one that is only nearly ours is refused.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from enrich.taskrouter import endpoints

OUR_PATHS = (endpoints.ASSIGNMENT, endpoints.FALLBACK, endpoints.EVENTS, endpoints.EVENT_STREAMS)


def is_ours(url: str, public_url: str, path: str = endpoints.ASSIGNMENT) -> bool:
    """Return whether the URL is exactly this endpoint of ours; query and fragment may differ."""
    return endpoints.without_fragment(url).partition("?")[0] == public_url + path


def is_near(url: str, public_url: str) -> bool:
    """Return whether the URL is probably meant to be ours: it has our host, or one of our paths."""
    parts = urlsplit(endpoints.without_fragment(url))
    own_host = urlsplit(public_url).hostname
    return bool(url) and (parts.hostname == own_host or parts.path.rstrip("/").endswith(OUR_PATHS))


def differences(url: str, own_url: str) -> str:
    """Return the parts in which the two differ, as text. url: as configured at Twilio."""
    remote, local = urlsplit(endpoints.without_fragment(url)), urlsplit(own_url)
    parts = (
        ("scheme", remote.scheme, local.scheme),
        ("host", remote.hostname, local.hostname),
        ("port", remote.port, local.port),
        ("path", remote.path, local.path),
    )
    return "; ".join(
        f"{name} {remote_part or 'none'} there, {local_part or 'none'} here"
        for name, remote_part, local_part in parts
        if remote_part != local_part
    )


def root_of(url: str) -> str:
    """Return the URL without the path of our endpoint, if it ends with one: the PUBLIC_URL that would fit it."""
    for path in OUR_PATHS:
        if url.endswith(path):
            return url.removesuffix(path)
    return url
