"""The application for `flask` and `gunicorn 'app:create_app()'` in a checkout; it is made in `enrich.application`."""

from enrich.application import create_app

__all__ = ["create_app"]
