"""Is it alive, and able to work? Twilio's public host serves these too, so the details need `METRICS_TOKEN`."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request

from enrich import errors, migrations
from enrich.clock import limited
from enrich.deadline import OutOfTime
from enrich.parts import parts

# A load balancer asks every few seconds and does not wait long.
READY_S = 2.0

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """200 as long as the process answers at all."""
    return Response("ok\n", mimetype="text/plain")


@bp.get("/readyz")
def readyz() -> tuple[Response, HTTPStatus]:
    """200 when callbacks can be recorded and looked up, else 503; with the token, what is wrong."""
    findings: dict[str, Any] = {}
    try:
        with limited(READY_S):
            at, head = migrations.revisions(parts().database)
        findings["database"] = "ok"
        findings["migrations"] = "ok" if at == head else f"at {at or 'nothing'}, needs {head}"
    except errors.DatabaseError as exc:
        findings["database"] = exc.reason
    except OutOfTime:
        findings["database"] = "database_too_slow"
    is_ready = all(finding == "ok" for finding in findings.values())
    body: dict[str, Any] = {"ready": is_ready} | (findings if _may_see_details() else {})
    return jsonify(body), HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE


def _may_see_details() -> bool:
    token = parts().settings.metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())
