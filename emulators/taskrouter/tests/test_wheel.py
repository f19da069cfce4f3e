"""The wheel, installed where nothing else is, and driven with Twilio's SDK over HTTP.

The environment gets the wheel and its declared dependencies from pip's configured index, and nothing of the checkout.
The SDK runs in the interpreter of the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests
from twilio.rest import Client

PROJECT = Path(__file__).parents[1]
INSTALL_TIMEOUT_S = 300

pytestmark = pytest.mark.scenario


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return its standard output; fail with everything that it wrote."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def bare_environment() -> dict[str, str]:
    """This process's environment without what makes Python find the checkout; pip's settings stay."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emulator's wheel, built by the locked backend of this environment from a copy of its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    sources = shutil.copytree(PROJECT, folder / "sources", ignore=ignored)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, sources, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and its dependencies alone; the folder of its programs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    run(programs / "python", "-m", "pip", "--disable-pip-version-check", "install", wheel, cwd=folder)
    return programs


@pytest.fixture
def address(environment: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the emulator, running in that environment, in an empty folder."""
    process = subprocess.Popen(
        [environment / "taskrouter-emulator", "--port", "0"],
        cwd=tmp_path,
        env=bare_environment() | {"TWILIO_AUTH_TOKEN": "not-a-real-token"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        yield found.group()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_the_wheel_holds_the_package_its_files_and_its_license(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    sources = PROJECT / "src"
    expected = {
        str(path.relative_to(sources))
        for path in (sources / "taskrouter_emulator").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert not [name for name in names - expected if ".dist-info/" not in name]
    assert [name for name in names if name.endswith("LICENSE")]


def test_it_needs_flask_alone(environment: Path, tmp_path: Path) -> None:
    listing = run(environment / "python", "-m", "pip", "list", "--format=freeze", cwd=tmp_path)
    installed = {line.partition("==")[0].lower().replace("_", "-") for line in listing.split()}
    flask = {"flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker", "colorama"}
    assert installed - {"pip", "setuptools"} <= flask | {"taskrouter-emulator"}
    script = "from importlib.util import find_spec; print(find_spec('enrich'), find_spec('twilio'))"
    assert run(environment / "python", "-c", script, cwd=tmp_path).split() == ["None", "None"]


def test_the_sdk_takes_a_task_from_creation_to_completion(address: str) -> None:
    client = Client("AC" + "0" * 32, "not-a-real-token")
    client.taskrouter.base_url = address
    workspace = client.taskrouter.v1.workspaces(client.taskrouter.v1.workspaces.create(friendly_name="Test").sid)
    activities = {activity.friendly_name: activity.sid for activity in workspace.activities.list()}
    queue = workspace.task_queues.create(friendly_name="Everybody")
    workspace.workflows.create(
        friendly_name="Test",
        configuration=f'{{"task_routing": {{"default_filter": {{"queue": "{queue.sid}"}}}}}}',
    )
    workspace.workers.create(friendly_name="alice", activity_sid=activities["Available"])
    task = workspace.tasks.create(attributes='{"topic": "billing"}')
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    reservation.update(reservation_status="accepted")
    workspace.tasks(task.sid).update(assignment_status="completed", reason="solved")
    assert workspace.tasks(task.sid).fetch().assignment_status == "completed"
    client.http_client.session.close()


def test_the_page_and_its_files_are_served(address: str) -> None:
    page = requests.get(address, timeout=10).text
    files = re.findall(r'(?:src|href)="(/[^"]+\.(?:css|js))"', page)
    assert files
    for file in files:
        assert requests.get(address + file, timeout=10).status_code == 200
