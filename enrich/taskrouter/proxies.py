"""The proxy of the environment: HTTPS_PROXY or HTTP_PROXY, ALL_PROXY for both, and NO_PROXY, each in either case."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

# Those of `urllib.request` that read the environment alone, on every system; typeshed does not know the second.
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3

from enrich import errors


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. headers: its credentials, for requests to the proxy itself."""

    host: str
    port: int
    headers: Mapping[str, str]


def proxy_for(base_url: str) -> Proxy | None:
    """Return the proxy for this address, None if it is reached directly, as this machine itself always is.

    Raises SettingsError for one that cannot be used.
    """
    target = urllib3.util.parse_url(base_url)
    scheme, host = target.scheme or "", target.host or ""
    proxies = getproxies_environment()
    name = scheme if scheme in proxies else "all"
    if name not in proxies or _is_loopback(host) or proxy_bypass_environment(target.netloc or host, proxies):
        return None
    value = proxies[name]
    try:
        url = urllib3.util.parse_url(value if "://" in value else f"http://{value}")
    except urllib3.exceptions.LocationParseError:
        url = urllib3.util.Url()
    if url.scheme != "http" or not url.host:
        # The value is not quoted: it may have a password.
        raise errors.SettingsError(f"{name.upper()}_PROXY is not the address of an HTTP proxy: http://HOST:PORT")
    headers = urllib3.util.make_headers(proxy_basic_auth=unquote(url.auth)) if url.auth else {}
    return Proxy(url.host.strip("[]"), url.port or 80, headers)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
