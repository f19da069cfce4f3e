"""What staff see in the browser.

    views.py      the addresses: the feed, a task beside it, and their fragments
    words.py      what outcomes, reasons and steps are called
    diff.py       attributes as lines, and what changed between two of them
    block.py      our block on the task, read back
    steps.py      where the time went, as bars
    text.py       moments, SIDs and hostile strings as text
    headers.py    security headers; failures.py: the pages for when it does not work

The templates are in `templates/`, the stylesheet and the one small script in `enrich/static/`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, url_for
from jinja2 import StrictUndefined

from enrich.pages import block, diff, failures, headers, steps, text, views, words


def register(app: Flask) -> None:
    """Gives the app its pages, its error pages and the headers of both."""
    settings = app.extensions["enrich"].settings
    static = Path(str(app.static_folder))
    scripts = sorted(static.glob("htmx-*.min.js"))
    # A file's address changes with its content, so that browsers may keep it for ever.
    versions = {name: _digest(static / name) for name in ("enrich.css", "enrich.js", "icon.svg")}

    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(visible=text.visible, seen=text.seen)
    app.jinja_env.globals.update(
        asset=lambda name: url_for("static", filename=name, v=versions[name]),
        # Set-up puts htmx there, its version in its name. Without it the page works as it does without script.
        htmx=scripts[-1].name if scripts else None,
        chart_of=lambda entry: steps.chart(entry.steps, entry.elapsed_ms, settings.budget_s),
        facts_of=lambda entry: block.facts(entry.attributes_now, settings.attribute),
        diff=diff,
        text=text,
        words=words,
        callback_url=f"{settings.public_url}/taskrouter/assignment",
    )
    app.register_blueprint(views.bp)
    app.after_request(headers.secure)
    failures.register(app)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
