"""Security headers of every response to a browser: content policy, framing, caching, https only."""

from __future__ import annotations

from flask import Response, current_app, request


def policy(*, frame_ancestors: str = "'none'") -> str:
    """Return the content-security policy of a page: everything from this site, nothing inline, and who may frame it."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "font-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {frame_ancestors}",
        )
    )


CONTENT_SECURITY_POLICY = policy()
# A year. Of this host alone: its subdomains are not the service's to decide about.
STRICT_TRANSPORT_SECURITY = "max-age=31536000"


def secure(response: Response) -> Response:
    """Add the headers to a response. A header that a view has set stays."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if current_app.config["SESSION_COOKIE_SECURE"]:
        response.headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY)
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        # Not "no-referrer": over https, Flask-WTF checks that a form was sent from a page of ours.
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if request.endpoint == "static" and response.status_code == 200:
        # The version stands in the address (`pages.asset`), so the same address never means another file.
        is_versioned = "v" in request.args or "-" in (request.view_args or {}).get("filename", "")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
    elif request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
