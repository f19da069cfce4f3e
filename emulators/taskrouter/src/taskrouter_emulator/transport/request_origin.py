"""Guards for endpoints that ask for no credentials of the account: the page, and everything under `/_emulator/`.

The emulator listens on loopback, and any page in the user's browser can reach loopback. Programs send no `Origin`, and
pass. Where other machines can reach it, a token keeps them out.
"""

import hmac
import ipaddress
from collections.abc import Callable, Sequence

from flask import Response, request
from flask.typing import ResponseReturnValue

Guard = Callable[[], ResponseReturnValue | None]


def guards(host: str, token: str | None) -> Sequence[Guard]:
    """Return the guards of a blueprint. host: the name that the server listens on. token: None if none is asked for."""
    return (refuse_other_hosts(host) if token is None else require_token(token), refuse_other_sites)


def refuse_other_sites() -> ResponseReturnValue | None:
    """Refuse changes which a page of another site asks for."""
    if request.method in ("GET", "HEAD"):
        return None
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none") or origin not in (None, f"http://{request.host}"):
        return _refuse("The request comes from a page of another site")
    return None


def refuse_other_hosts(host: str) -> Guard:
    """Return a guard that serves only names of this machine: a page's own name may come to resolve to loopback.

    host: valid beside the names of this machine.
    """

    def guard() -> ResponseReturnValue | None:
        if _is_this_machine(request.host, host):
            return None
        return _refuse(f"{request.host} is not a name of this machine; if it is, start the emulator with --host")

    return guard


def require_token(token: str) -> Guard:
    """Return a guard that asks for the token as the password of basic auth, with any user, which browsers ask for."""

    def guard() -> ResponseReturnValue | None:
        password = (request.authorization and request.authorization.password) or ""
        if hmac.compare_digest(password.encode(), token.encode()):
            return None
        response = _refuse("The emulator was started with a token; it is the password", 401)
        response.headers["WWW-Authenticate"] = 'Basic realm="TaskRouter emulator"'
        return response

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


def _refuse(message: str, status: int = 403) -> Response:
    return Response(message + "\n", status, content_type="text/plain; charset=utf-8")
