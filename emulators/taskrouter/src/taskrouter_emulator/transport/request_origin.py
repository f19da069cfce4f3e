"""Guards for endpoints that ask for no credentials: they refuse what a page of another site sends.

The emulator listens on loopback, and any page in the user's browser can reach loopback. Programs send no `Origin`, and
pass.
"""

import ipaddress
from collections.abc import Callable

from flask import Response, request
from flask.typing import ResponseReturnValue

Guard = Callable[[], ResponseReturnValue | None]


def refuse_other_sites(host: str) -> Guard:
    """Return a guard that refuses changes which a page of another site asks for.

    host: the name that the server listens on; it is valid beside the names of this machine.
    """

    def guard() -> ResponseReturnValue | None:
        if request.method in ("GET", "HEAD"):
            return None
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        is_same_origin = origin == f"http://{request.host}" and _is_this_machine(request.host, host)
        if site not in (None, "same-origin", "none") or (origin is not None and not is_same_origin):
            return _refuse("The request comes from a page of another site")
        return None

    return guard


def refuse_other_hosts(host: str) -> Guard:
    """Return a guard that serves a page under names of this machine only: foreign names may resolve to loopback."""

    def guard() -> ResponseReturnValue | None:
        if _is_this_machine(request.host, host):
            return None
        return _refuse(f"{request.host} is not a name of this machine; if it is, start the emulator with --host")

    return guard


def _is_this_machine(host_header: str, host: str) -> bool:
    name = host_header.rpartition(":")[0] if host_header.rpartition(":")[2].isdigit() else host_header
    name = name.strip("[]")
    if name in ("localhost", host):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refuse(message: str) -> Response:
    return Response(message + "\n", 403, content_type="text/plain; charset=utf-8")
