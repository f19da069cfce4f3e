"""The card: the customer of one task, on a small page that an agent's desktop shows in a frame (docs/card.md).

Whoever has the task's token may look, without signing in: agents have no account here, and a frame on another site
gets no cookie. So it opens one task only, and only while the task is under way and for a while after that, which is
decided here from the journal and not by anything in the link. It shows a customer only on a match that was proved.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue

from enrich.customers import card_token
from enrich.customers.store import CustomerStore
from enrich.domain.matches import Customer, MatchKind
from enrich.journal.card_facts import CardFacts, card_facts
from enrich.pages import formatting, security_headers
from enrich.services import current_services

log = logging.getLogger(__name__)
bp = Blueprint("card", __name__, url_prefix="/card")


@bp.before_request
def guard() -> ResponseReturnValue | None:
    """Require the token of this very task; anybody else gets 403 and learns nothing."""
    key = current_services().rules.card_key
    task_sid = str((request.view_args or {}).get("task_sid", ""))
    if key and formatting.is_plain_sid(task_sid) and card_token.is_valid(key, task_sid, request.args.get("token", "")):
        return None
    log.warning("card refused", extra={"reason": "wrong_token" if key else "no_cards_here"})
    return _message("This card cannot be shown", "The link is not valid for this task.", 403)


@bp.after_request
def frame(response: Response) -> Response:
    """Let only the sites of the settings frame it, and send its address, which holds the token, nowhere."""
    ancestors = " ".join(current_services().settings.frame_ancestors) or "'none'"
    response.headers["Content-Security-Policy"] = security_headers.policy(frame_ancestors=ancestors)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.get("/<task_sid>")
def show(task_sid: str) -> ResponseReturnValue:
    """Show the card; to htmx its fragment, or 204 if the page shows this version (`shown`) already."""
    services = current_services()
    now = services.adapters.now()
    is_poll = "HX-Request" in request.headers
    facts = card_facts(services.database, task_sid, now)
    if facts is None:
        return _message("No data yet", "This task has not been offered to a worker.", 404)
    if facts.over_at and facts.over_at + timedelta(minutes=services.settings.card_minutes) < now:
        # Sent whole and without a trigger, so that an open card empties itself and asks no more.
        return _message("This task has ended", "Its card has expired.", 200 if is_poll else 410)
    customer = _customer(services.adapters.store, facts)
    version = hashlib.sha256(repr((facts, customer)).encode("utf-8", "replace")).hexdigest()[:16]
    if is_poll and request.args.get("shown") == version:
        return Response(status=204)
    template = "card/_card.html" if is_poll else "card/page.html"
    token = request.args["token"]
    return render_template(template, facts=facts, customer=customer, task_sid=task_sid, token=token, version=version)


def _customer(store: CustomerStore, facts: CardFacts) -> Customer | None:
    """Return the matched customer as the CRM has them now; None unless the match is certain."""
    if facts.match != MatchKind.MATCHED or not facts.customer_id:
        return None
    return store.fetch_customer(facts.customer_id)


def _message(headline: str, sentence: str, status: int) -> Response:
    template = "card/_message.html" if "HX-Request" in request.headers else "card/message.html"
    return make_response(render_template(template, headline=headline, sentence=sentence), status)
