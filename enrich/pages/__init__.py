"""The pages that staff see in the browser.

    tasks.py             the list of tasks, one task beside it, and their fragments; feed_query.py: which tasks to list
    resolution.py        identify a task's customer, undo it, redo it
    completion.py        end a task's wrap-up
    customers.py         find, view, create, edit and merge customers; customer_form.py: a customer as a form
    staff.py             who may sign in; sign_in.py, sessions.py, devices.py: signing in and staying so
    tokens.py            the tokens of other systems
    sources.py           the sources of customers, and their quarantine; source_labels.py: the words for them
    own_password.py      the reader's own password
    own_sessions.py      where the reader is signed in
    overview.py          figures over time; charts.py: figures as SVG
    card.py              the customer of one task, for a frame on the agent's desktop
    labels.py            labels of outcomes, reasons and steps; label_texts.py: their texts
    diff.py              attributes as lines, and what changed between two of them
    block_facts.py       our block on the task, read back
    step_chart.py        where the time went, as bars
    notices.py           the result of a form, shown on the next page
    formatting.py        times, SIDs and hostile strings as text
    security_headers.py  security headers; error_pages.py: pages for failed requests; page_timeout.py: their time limit
    refusals.py          log lines of refused requests, and of a proxy that is not trusted

The templates are in `templates/`, the stylesheet and the one small script in `enrich/static/`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, current_app, request, url_for
from jinja2 import StrictUndefined
from markupsafe import Markup

from enrich import __version__
from enrich.accounts import masking
from enrich.accounts.tables import Role
from enrich.pages import (
    block_facts,
    card,
    completion,
    customers,
    diff,
    error_pages,
    formatting,
    label_texts,
    labels,
    notices,
    overview,
    own_password,
    own_sessions,
    refusals,
    resolution,
    security_headers,
    sessions,
    sign_in,
    sources,
    staff,
    step_chart,
    tasks,
    tokens,
)
from enrich.pages.sessions import may, sees_masked, signed_in
from enrich.taskrouter.endpoints import ASSIGNMENT

SOURCES = "sources.index"
# The navigation, in order: endpoint, label, and the role that may open it. An endpoint the app lacks is left out.
PLACES = (
    ("pages.tasks", "Tasks", Role.VIEWER),
    ("customers.index", "Customers", Role.VIEWER),
    ("overview.index", "Overview", Role.VIEWER),
    (SOURCES, "Sources", Role.ADMIN),
    ("staff.index", "Staff", Role.ADMIN),
)
# Blueprints without an entry of their own: identifying a customer is done on a task, tokens stand beside the staff.
_NAVIGATION_BLUEPRINTS = {"settling": "pages", "tokens": "staff"}


def register(app: Flask) -> None:
    """Register the pages, the error pages and the headers of both with the app."""
    settings = app.extensions["enrich"].settings
    sessions.set_up(app)
    refusals.set_up(app)
    static = Path(str(app.static_folder))
    scripts = sorted(static.glob("htmx-*.min.js"))
    # A file's address changes with its content, so that browsers may keep it for ever.
    versions = {name: _digest(static / name) for name in ("enrich.css", "enrich.js", "icon.svg")}

    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(visible=_visible, as_text=_as_text, person=_person, private=_private)
    app.jinja_env.globals.update(
        asset=lambda name: url_for("static", filename=name, v=versions[name]),
        # Set-up puts htmx there, its version in its name. Without it the page works as it does without script.
        htmx=scripts[-1].name if scripts else None,
        chart_of=lambda entry: step_chart.chart(entry.steps, entry.elapsed_ms, settings.budget_s),
        facts_of=lambda entry: block_facts.facts(entry.attributes_now, settings.attribute),
        reader=signed_in,
        may=lambda role: may(Role(role)),
        sees_masked=sees_masked,
        places=_places,
        is_at=_is_at,
        diff=diff,
        text=formatting,
        labels=labels,
        label_texts=label_texts,
        notices=notices.shown,
        service_version=__version__,
        callback_url=settings.public_url + ASSIGNMENT,
    )
    views = (
        sign_in,
        tasks,
        resolution,
        completion,
        customers,
        overview,
        sources,
        staff,
        tokens,
        own_password,
        own_sessions,
        card,
    )
    for module in views:
        app.register_blueprint(module.bp)
    app.after_request(security_headers.secure)
    error_pages.register(app)


def _places() -> list[tuple[str, str]]:
    """Return the entries of the navigation for the reader. That of sources is there once there is one."""
    return [
        (endpoint, label)
        for endpoint, label, role in PLACES
        if endpoint in current_app.view_functions and may(role) and (endpoint != SOURCES or sources.are_shown())
    ]


def _is_at(endpoint: str) -> bool:
    """Return whether the requested page belongs to this entry of the navigation."""
    blueprint = (request.endpoint or "").partition(".")[0]
    return _NAVIGATION_BLUEPRINTS.get(blueprint, blueprint) == endpoint.partition(".")[0]


def _visible(shown: str) -> Markup:
    """Return text from outside as `formatting.visible` does; for a viewer, with numbers and e-mail addresses masked."""
    return formatting.visible(masking.text(shown) if sees_masked() else shown)


def _as_text(shown: str) -> str:
    """Return the text as `_visible` does, for places that take no markup."""
    return formatting.as_text(masking.text(shown) if sees_masked() else shown)


def _person(name: str) -> Markup:
    """Return a customer's name; for a viewer, its first letters."""
    return formatting.visible(masking.name(name) if sees_masked() else name)


def _private(shown: str) -> Markup:
    """Return free text about a customer, such as a note; hidden from a viewer."""
    return formatting.visible(masking.HIDDEN if sees_masked() and shown else shown)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
