"""Findings on PUBLIC_URL: its form, and the result of a signed event that was sent to it.

The doctor sends the event, also with other addresses; this module interprets the response.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from enrich.diagnosis.callback_urls import root_of
from enrich.domain.findings import Finding, ok, problem, warning
from enrich.taskrouter import endpoints

SLOW_ROUND_TRIP_MS = 1_000


def public_address(public_url: str, taskrouter_url: str) -> Finding:
    """Check PUBLIC_URL. taskrouter_url: TASKROUTER_BASE_URL; for an emulator a private address is fine."""
    check, parts = "public_url", urlsplit(public_url)
    host = parts.hostname or ""
    is_twilio = (urlsplit(taskrouter_url).hostname or "").endswith("twilio.com")
    if is_twilio and _is_private(host):
        return problem(
            check,
            f"PUBLIC_URL is {public_url}, which cannot be reached from outside",
            "Twilio cannot call it",
            "put a public host, or a tunnel, in front, and set PUBLIC_URL to its address",
        )
    if is_twilio and parts.scheme != "https":
        return warning(
            check,
            f"PUBLIC_URL is {public_url}",
            "tasks and answers are sent unencrypted",
            "serve it under https, and set PUBLIC_URL to that",
        )
    return ok(check, f"PUBLIC_URL is {public_url}")


def proxies(trusted: int, *, has_untrusted: bool) -> Finding:
    """Check ENRICH_TRUSTED_PROXIES. has_untrusted: X-Forwarded-For arrived within a day while it was 0."""
    check = "trusted_proxies"
    if trusted:
        return ok(check, f"ENRICH_TRUSTED_PROXIES is {trusted}")
    if has_untrusted:
        return warning(
            check,
            "X-Forwarded-For arrives, and ENRICH_TRUSTED_PROXIES is 0",
            "all clients share the proxy's address: wrong passwords of one make everybody with a new browser wait",
            "ENRICH_TRUSTED_PROXIES=1 for one proxy that replaces the header, as nginx.conf does",
        )
    return ok(check, "no proxy was seen in front, and none is trusted")


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith((".local", ".internal", ".localhost")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A signed event that was sent to PUBLIC_URL.

    status: None without a response; then `failed` is name, tls, refused, timeout or other, and detail the message.
    location: the target of a redirect.
    recorded: whether the event is in this database; None if unknown.
    good_for: another PUBLIC_URL with which the same request was accepted. origin_is_us: whether this service responds
    at the same host without the path of PUBLIC_URL. loses_query: the request was accepted without the query of the
    configured URL.
    """

    url: str
    status: int | None
    elapsed_ms: float = 0.0
    failed: str = ""
    detail: str = ""
    location: str = ""
    recorded: bool | None = None
    good_for: str = ""
    origin_is_us: bool = False
    loses_query: bool = False


def round_trip(trip: RoundTrip) -> Finding:
    """Return the finding on an event that was signed and sent to PUBLIC_URL as Twilio would."""
    check = "round_trip"
    if trip.status is None:
        return _no_response(trip)
    observation = f"a signed event sent to {trip.url} got {trip.status}"
    if trip.status == 204 and trip.recorded is False:
        return problem(
            check,
            f"{observation}, and is not in this database",
            "PUBLIC_URL leads to another installation, or to one with another database",
            "compare DATABASE_URL here and there; see where PUBLIC_URL leads",
        )
    if trip.status == 204:
        if trip.elapsed_ms > SLOW_ROUND_TRIP_MS:
            return warning(
                check,
                f"{observation} after {trip.elapsed_ms:.0f} ms",
                "that much of TaskRouter's five seconds is lost before the look-up",
                "check proxy, tunnel and database",
            )
        return ok(check, f"{observation} after {trip.elapsed_ms:.0f} ms, and is in the journal")
    if trip.status == 403:
        return _refused(trip, observation)
    if 300 <= trip.status < 400:
        return problem(
            check,
            f"{observation}, a redirect to {trip.location or 'nowhere'}",
            "Twilio signs the configured URL; behind a redirect the signature is invalid",
            f"set PUBLIC_URL, and the URLs at Twilio, to where it leads ({root_of(trip.location) or 'see the proxy'})",
        )
    if trip.status == 404:
        return problem(check, f"{observation}: there is no such page", *_path_advice(trip))
    if trip.status == 401:
        return problem(
            check,
            f"{observation}: a proxy asks for a password",
            "it refuses Twilio, too",
            f"let POST {endpoints.PREFIX}/* through without a password; the signature protects it",
        )
    if trip.status in (502, 504):
        return problem(
            check,
            f"{observation}: the proxy does not reach the service",
            "nothing is answered",
            "start gunicorn; check BIND",
        )
    if trip.status == 503:
        return problem(
            check,
            f"{observation}: it could not be recorded",
            "the database does not accept it",
            "see the findings on the database",
        )
    return problem(
        check,
        f"{observation}, and 204 was expected",
        "another service responds there, or a proxy changes the request",
        "see where PUBLIC_URL leads: proxy, firewall, tunnel page",
    )


def _no_response(trip: RoundTrip) -> Finding:
    observation, meaning, todo = {
        "name": ("its name does not resolve", "Twilio cannot resolve it either", "check PUBLIC_URL and its DNS"),
        "tls": (
            f"its certificate is invalid ({trip.detail})",
            "Twilio refuses it, too",
            "install a certificate of a public authority, with the chain",
        ),
        "refused": (
            "the connection is refused",
            "nothing is answered",
            "start the service and the proxy; check the port",
        ),
        "timeout": (
            "no response in time",
            "Twilio would time out, too",
            "check firewall, proxy and service",
        ),
    }.get(
        trip.failed,
        (f"it failed: {trip.detail}", "Twilio most likely fails the same way", "see where PUBLIC_URL leads"),
    )
    return problem("round_trip", f"{trip.url} was not reached: {observation}", meaning, todo)


def _refused(trip: RoundTrip, observation: str) -> Finding:
    if trip.loses_query:
        return problem(
            "round_trip",
            f"{observation}, and without its query 204",
            "the signature covers the query as it is configured at Twilio; something in front of the service changes "
            "it, for example the order of its parameters",
            "make the proxy pass on the query as it came, or leave the query out of the URLs at Twilio",
        )
    if trip.good_for:
        # The signature is accepted with and without the port, so a URL without a port says nothing about it.
        port = "" if urlsplit(trip.good_for).port else ", whatever the port"
        return problem(
            "round_trip",
            f"{observation}: the service that runs there has the PUBLIC_URL {trip.good_for}{port}",
            "every webhook is refused, since the signature covers the address",
            f"give it the same PUBLIC_URL as here ({root_of(trip.url)}), and restart it",
        )
    return problem(
        "round_trip",
        f"{observation}: the signature is refused there",
        "every webhook is refused. It was signed for this URL with the auth token that is set here",
        "check that the service runs with the same PUBLIC_URL, TWILIO_AUTH_TOKEN and TWILIO_WORKSPACE_SID as here, and "
        "that the proxy passes on X-Twilio-Signature and leaves body, path and query as they are",
    )


def _path_advice(trip: RoundTrip) -> tuple[str, str]:
    prefix = urlsplit(root_of(trip.url)).path
    if prefix and trip.origin_is_us:
        return (
            f"the service is there without {prefix}, or the proxy passes {prefix} on instead of taking it off",
            f"take {prefix} off in the proxy, or out of PUBLIC_URL and the URLs at Twilio",
        )
    return (
        "PUBLIC_URL does not lead to this service, or loses part of its path",
        f"check its path: the proxy must pass on {endpoints.EVENTS}, with nothing in front of it",
    )


def addresses_like(public_url: str) -> list[str]:
    """Return addresses that are easily mistaken for this one: with another scheme, port or path."""
    parts = urlsplit(public_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    roots = [f"{scheme}://{netloc}" for scheme in ("https", "http") for netloc in dict.fromkeys((parts.netloc, host))]
    ports = dict.fromkeys((parts.port or 8000, 8000, 5000))
    local = [f"http://{name}:{port}" for name in ("localhost", "127.0.0.1") for port in ports]
    paths = dict.fromkeys((parts.path, ""))
    candidates = (*(root + path for root in roots for path in paths), *local)
    return [address for address in candidates if address != public_url]
