"""The pytest plugin, in runs of pytest of its own: the README's example, the options, and what it loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()

pytestmark = pytest.mark.scenario


def run_pytest(folder: Path, text: str, *arguments: str) -> str:
    """Run pytest on one test module in an empty folder, with the plugin from its entry point; return the output."""
    (folder / "test_sample.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_the_example_of_the_readme_passes(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert "3 passed" in run_pytest(tmp_path, example)


def test_options_are_passed_to_the_server(tmp_path: Path) -> None:
    text = """
from datetime import UTC, datetime
import pytest

@pytest.fixture
def taskrouter_emulator_options():
    return {"clock": lambda: datetime(2026, 1, 1, 12, tzinfo=UTC), "ticking": False, "seed": "tests"}

def test_clock(taskrouter_emulator):
    taskrouter_emulator.advance(5)
    assert taskrouter_emulator.server.clock.now() == datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
"""
    assert "1 passed" in run_pytest(tmp_path, text, "-W", "error")


def test_callbacks_go_to_the_url_that_is_set(tmp_path: Path) -> None:
    text = """
def test_callback(taskrouter_emulator):
    taskrouter_emulator.set_callback_url("http://127.0.0.1:9/assign", "http://127.0.0.1:9/fallback")
    taskrouter_emulator.set_event_callback_url("http://127.0.0.1:9/events")
    taskrouter_emulator.create_worker("alice", language="en")
    task_sid = taskrouter_emulator.create_task("chat", topic="billing")
    taskrouter_emulator.log.wait_for("fallback_failed", task_sid=task_sid)
    taskrouter_emulator.deliveries.wait_until_idle()
    kinds = {delivery.kind for delivery in taskrouter_emulator.deliveries.records()}
    assert kinds == {"assignment", "fallback", "event"}
    assert taskrouter_emulator.task_attributes(task_sid) == '{"topic": "billing"}'
    assert taskrouter_emulator.task_status(task_sid) == "reserved"
"""
    assert "1 passed" in run_pytest(tmp_path, text, "-W", "error")


def test_a_run_that_does_not_use_it_loads_neither_flask_nor_the_emulator(tmp_path: Path) -> None:
    text = """
import sys

def test_nothing_is_loaded(request):
    assert request.config.pluginmanager.has_plugin("taskrouter_emulator")
    loaded = {name for name in sys.modules if name.startswith(("taskrouter_emulator", "flask", "werkzeug"))}
    assert loaded == {"taskrouter_emulator", "taskrouter_emulator.pytest_plugin"}
"""
    assert "1 passed" in run_pytest(tmp_path, text, "-W", "error")
