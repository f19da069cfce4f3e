"""Twilio's official SDKs for Node, old and new, take one task through the emulator; skipped without Node or a registry.

The versions are pinned, one of each major version since 3, and kept in pytest's cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.npm import run_npm
from taskrouter_emulator import EmulatorServer

SDKS = ("twilio@3.84.1", "twilio@4.23.0", "twilio@5.8.2", "twilio@6.2.0")

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module", params=SDKS)
def node_modules(request: pytest.FixtureRequest) -> Path:
    """The folder with one SDK, installed once in pytest's cache."""
    sdk = str(request.param)
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    folder = request.config.cache.mkdir(sdk.replace("@", "-"))
    installed = folder / "node_modules" / "twilio" / "package.json"
    if not installed.exists():
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
        run_npm(["install", sdk, "--prefix", str(folder), *quiet], folder)
    assert json.loads(installed.read_text())["version"] == sdk.partition("@")[2]
    return folder / "node_modules"


@pytest.mark.parametrize("connection", ["default", "keep"])
def test_the_node_sdk_walks_one_task_from_creation_to_completion(
    emulator: EmulatorServer, node_modules: Path, connection: str
) -> None:
    script = Path(__file__).with_name("one_task.cjs")
    done = subprocess.run(
        ["node", str(script), emulator.base_url, emulator.account_sid, emulator.auth_token, connection],
        env={"NODE_PATH": str(node_modules), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert saw["seen"] == ["reserved", "assigned", "wrapping", "completed"]
    assert saw["refused"] == {"status": 400, "code": 20001}
    assert (saw["reason"], saw["worker"]) == ("solved", "dana")
    assert json.loads(saw["attributes"]) == {"from": "+14155550100", "case": "K-9"}
    assert saw["created"] == "2026-01-01T12:00:00.000Z"
    assert [event for event in saw["events"] if event.startswith("task.")] == [
        "task.created",
        "task.updated",
        "task.wrapup",
        "task.completed",
    ]
    assert emulator.log.entries("parameters_ignored") == []
    if connection == "keep":
        assert saw["connections"] == 1
    assert {webhook["kind"] for webhook in saw["webhooks"]} == {"events", "assignment", "stream"}
    refused = [webhook for webhook in saw["webhooks"] if not webhook["valid"]]
    assert refused == []
    assert {webhook["authorization"] for webhook in saw["webhooks"]} == {"Basic ZGVzazpwYUBzcw=="}
