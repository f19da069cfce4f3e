"""The files that the Dockerfile copies are enough to serve, from a folder that cannot be written to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from enrich.demo.processes import free_port

HERE = Path(__file__).parents[2]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """The tree that the COPY lines make, without what .dockerignore leaves out."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "htmx-*.min.js")
    tree = tmp_path / "srv"
    tree.mkdir()
    _, _, final = (HERE / "Dockerfile").read_text().rpartition("\nFROM ")
    for line in re.findall(r"^COPY (?!--from)(.*)$", final, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (HERE / source).is_dir():
                shutil.copytree(HERE / source, tree / target, ignore=ignored)
            else:
                shutil.copy(HERE / source, tree / target)
    for htmx in (HERE / "enrich" / "static").glob("htmx-*.min.js"):
        shutil.copy(htmx, tree / "enrich" / "static")
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield tree
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755)


def test_it_carries_no_emulator(image: Path) -> None:
    assert "emulators" in (HERE / ".dockerignore").read_text().splitlines()
    assert "make install" in (HERE / "Dockerfile").read_text()  # `make setup` would add it
    assert [path for path in image.rglob("*") if "emulator" in path.name and path.parent.name != "cli"] == []


def test_it_migrates_and_serves_from_there(image: Path, tmp_path: Path) -> None:
    port = free_port(0)
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "FLASK_SKIP_DOTENV": "1",
        "SECRET_KEY": "not-a-real-key-for-tests",
        "PUBLIC_URL": url,
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "not-a-real-token",
        "ENRICH_INSTANCE_PATH": str(tmp_path / "state"),
        "BIND": f"127.0.0.1:{port}",
    }
    upgrade = [sys.executable, "-m", "flask", "db", "upgrade"]
    serve = [sys.executable, "-m", "gunicorn", "app:create_app()"]
    subprocess.run(upgrade, check=True, capture_output=True, cwd=image, env=environment)
    process = subprocess.Popen(serve, stderr=subprocess.PIPE, cwd=image, env=environment)
    try:
        until, answer = time.monotonic() + 30, None
        while answer is None and time.monotonic() < until:
            with suppress(requests.ConnectionError, requests.Timeout):
                answer = requests.get(f"{url}/readyz", timeout=5)
        assert answer is not None
        assert (answer.status_code, answer.json()) == (200, {"ready": True})
        page = requests.get(f"{url}/login", timeout=5)
        assert page.status_code == 200
        files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
        assert files
        assert {requests.get(url + file, timeout=5).status_code for file in files} == {200}
    finally:
        process.terminate()
        process.communicate(timeout=15)
