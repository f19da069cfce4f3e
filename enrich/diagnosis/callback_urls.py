"""A URL that is set at Twilio, held against PUBLIC_URL: ours, nearly ours, and what differs.

The signature covers the URL as it stands at Twilio. So a request to one that is only nearly ours is refused.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from enrich.taskrouter import endpoints

OUR_PATHS = (endpoints.ASSIGNMENT, endpoints.FALLBACK, endpoints.EVENTS, endpoints.EVENT_STREAMS)


def is_ours(url: str, public_url: str, path: str = endpoints.ASSIGNMENT) -> bool:
    """Return whether the URL is this endpoint of ours, to the letter, query and fragment aside."""
    return endpoints.without_fragment(url).partition("?")[0] == public_url + path


def is_near(url: str, public_url: str) -> bool:
    """Meant for us, it seems: the same host, or one of our paths."""
    parts = urlsplit(endpoints.without_fragment(url))
    ours = urlsplit(public_url).hostname
    return bool(url) and (parts.hostname == ours or parts.path.rstrip("/").endswith(OUR_PATHS))


def what_differs(url: str, wanted: str) -> str:
    """Each part of the two that is not the same, in words. url: as it is there; wanted: as it is here."""
    there, here = urlsplit(endpoints.without_fragment(url)), urlsplit(wanted)
    parts = (
        ("scheme", there.scheme, here.scheme),
        ("host", there.hostname, here.hostname),
        ("port", there.port, here.port),
        ("path", there.path, here.path),
    )
    return "; ".join(
        f"{name} {theirs or 'none'} there, {ours or 'none'} here" for name, theirs, ours in parts if theirs != ours
    )


def root_of(url: str) -> str:
    """The URL without the path of one of our endpoints, where it ends with one: what PUBLIC_URL would be."""
    for path in OUR_PATHS:
        if url.endswith(path):
            return url.removesuffix(path)
    return url
