"""Who may look: staff accounts, their passwords, sign-in and sign-out.

tables.py     one row per person
passwords.py  argon2 hashes, made where they do not hold the event loop
users.py      find, add, list, set a password, sign in: plain functions over the database
attempts.py   how often somebody may try to sign in; devices.py: the browsers that did before
sessions.py   what a browser is remembered by, and the guard that pages name
views.py      /login and /logout
commands.py   flask users …
"""

from __future__ import annotations

from flask import Flask

from enrich.accounts import commands, sessions, views


def register(app: Flask) -> None:
    """Gives the app sign-in, sign-out, CSRF protection on every form, and `flask users`."""
    sessions.set_up(app)
    app.register_blueprint(views.bp)
    app.cli.add_command(commands.group)
