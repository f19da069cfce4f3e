"""Redirects stay on this site, whatever host and address a request names."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

VALUES = {"filename": "enrich.css", "task_sid": "WT" + "0" * 32, "customer_id": "C-1"}


def spellings(app: Flask) -> list[str]:
    """Every address of the application, and as routers correct it: slashes doubled, or one more at the end."""
    found = []
    for rule in app.url_map.iter_rules():
        values = {name: VALUES.get(name, "1") for name in rule.arguments}
        _, path = rule.build(values) or ("", rule.rule)
        found += [path, f"{path}/", f"{path}//", path.replace("/", "//"), f"/{path}", f"/.{path}", f"/x/..{path}"]
    return found


@pytest.mark.parametrize("reader", ["stranger", "browser"])
def test_no_redirect_takes_its_host_from_the_request(app: Flask, request: pytest.FixtureRequest, reader: str) -> None:
    client: FlaskClient = request.getfixturevalue(reader)
    for path in spellings(app):
        for method in ("GET", "POST"):
            environ = {"PATH_INFO": path, "HTTP_HOST": "evil.example"}
            response = client.open("/", method=method, environ_overrides=environ)
            response.close()
            location = response.headers.get("Location", "/")
            assert location.startswith("/"), (method, path, location)
            assert not location.startswith("//"), (method, path, location)
