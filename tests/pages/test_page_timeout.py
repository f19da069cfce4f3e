"""The time limit on pages: a form that does not end is not waited for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from enrich.domain.deadline import OutOfTime

SLOW_FORM = """
from gevent import monkey; monkey.patch_all()
import socket, sys
from functools import partial
from pathlib import Path
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app
from enrich.application import create_app
from enrich.pages.page_timeout import PageTimeout
from tests.support.app import make_settings, services_of

app = create_app(make_settings(Path(sys.argv[1])))
client, server = socket.socketpair()
client.sendall(b"email=")  # and never the rest
environ = EnvironBuilder("/login", method="POST", content_type="application/x-www-form-urlencoded").get_environ()
environ |= {"wsgi.input": server.makefile("rb"), "CONTENT_LENGTH": "60"}
pages = PageTimeout(partial(Flask.wsgi_app, app), services_of(app).refusals, 0.2)
content, status, _ = run_wsgi_app(pages, environ)
print(status, b"".join(content).decode(), end="")
"""


def test_a_form_that_does_not_end_is_not_waited_for(tmp_path: Path) -> None:
    """In a process of its own: gevent patches the standard library for good."""
    ended = subprocess.run(
        [sys.executable, "-c", SLOW_FORM, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "408 Request Timeout 408 Request Timeout: not complete within 0.2 s\n"
    assert '"page timed out"' in ended.stderr


@pytest.mark.parametrize(("method", "status"), [("GET", 503), ("POST", 408)])
def test_the_application_limits_every_page(
    app: Flask, caplog: pytest.LogCaptureFixture, method: str, status: int
) -> None:
    def wait_for_ever() -> None:
        raise OutOfTime

    app.before_request_funcs.setdefault(None, []).insert(0, wait_for_ever)
    response = app.test_client().open("/login", method=method)
    assert (response.status_code, response.mimetype) == (status, "text/plain")
    assert response.text.endswith("not complete within 20 s\n")
    assert [record.getMessage() for record in caplog.records] == ["page timed out"]
