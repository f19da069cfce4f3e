"""Tokens of other systems, for admins: `flask tokens` as a page.

A new token is in the response to its form and nowhere else: in no address, no cookie, no log line, and, because nothing
here may be stored, in no cache.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich.accounts import tokens
from enrich.accounts.tables import Role
from enrich.accounts.tokens import ApiToken, ApiTokens
from enrich.pages import notices
from enrich.pages.notices import Done, Notice
from enrich.pages.sessions import needs, require_sign_in, signed_in
from enrich.services import current_services

NEVER = "never"
# Days until a new token expires, as its form offers them.
EXPIRIES = {"30": "in 30 days", "90": "in 90 days", "365": "in a year", NEVER: "never"}
SCOPES = {
    tokens.LOOKUP: "look up customers by the caller's number, or by what your own flow knows",
    tokens.LOOKUP_CLAIMED: "look up customers by what somebody typed: candidates, never a match",
    tokens.READ: "read customers, tasks and follow-ups as a viewer sees them, with personal data masked",
    tokens.READ_UNMASKED: "read them as an editor sees them, with names, numbers, notes and attributes",
}

log = logging.getLogger(__name__)
bp = Blueprint("tokens", __name__, url_prefix="/tokens")
bp.before_request(require_sign_in)


@bp.get("")
@needs(Role.ADMIN)
def index() -> ResponseReturnValue:
    """List the tokens, with a form for a new one."""
    return _page({}, {})


@bp.post("")
@needs(Role.ADMIN)
def add() -> ResponseReturnValue:
    """Add the token and show it, once; or show the form again, with the problem beside each field."""
    services, reader = current_services(), signed_in()
    values = {name: request.form.get(name, "") for name in ("name", "intake", "expires")}
    sources = values["intake"].replace(",", " ").split()
    scopes = tokens.normal_scopes([*request.form.getlist("scope"), *(f"{tokens.INTAKE}:{one}" for one in sources)])
    problems = {
        "name": tokens.name_problem(values["name"]),
        "scopes": tokens.scopes_problem(scopes),
        "expires": "" if values["expires"] in EXPIRIES else "Choose when the token expires.",
    }
    problems = {name: problem for name, problem in problems.items() if problem}
    if not problems:
        now = services.adapters.now()
        expires_at = None if values["expires"] == NEVER else now + timedelta(days=int(values["expires"]))
        added = ApiTokens(services.database).add(
            name=values["name"],
            scopes=scopes,
            now=now,
            expires_at=expires_at,
            by_user_id=reader.id if reader else None,
        )
        if added:
            token, secret = added
            _note("token added", token, scopes=" ".join(token.scopes))
            return _page({}, {}, added=token, secret=secret)
        problems["name"] = "There is a token of this name. Revoke it first, or choose another name."
    return _page(values, problems, scopes=scopes), 422


@bp.post("/<int:token_id>/revoke")
@needs(Role.ADMIN)
def revoke(token_id: int) -> ResponseReturnValue:
    """Revoke the token, at once and for good."""
    services = current_services()
    token = ApiTokens(services.database).revoke(services.adapters.now(), token_id=token_id) or abort(404)
    _note("token revoked", token)
    notices.flash(Notice(Done.TOKEN_REVOKED))
    return redirect(url_for("tokens.index"))


def _note(event: str, token: ApiToken, **more: str) -> None:
    reader = signed_in()
    log.info(event, extra={"token_id": token.id, "by_user_id": reader.id if reader else None, **more})


def _page(
    values: dict[str, str],
    problems: dict[str, str],
    *,
    scopes: tuple[str, ...] = (tokens.LOOKUP,),
    added: ApiToken | None = None,
    secret: str = "",
) -> str:
    """values, problems, scopes: of the form for a new token. added, secret: the token that was just made."""
    services = current_services()
    return render_template(
        "tokens/index.html",
        tokens=ApiTokens(services.database).list_all(),
        now=services.adapters.now(),
        known_scopes=SCOPES,
        expiries=EXPIRIES,
        values={"name": "", "intake": "", "expires": str(tokens.DEFAULT_DAYS), **values},
        scopes=scopes,
        problems=problems,
        added=added,
        secret=secret,
    )
