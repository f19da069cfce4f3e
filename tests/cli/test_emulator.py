"""`flask emulator` and `flask demo` start the emulator as a process of its own, or say what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click import Command
from click.testing import CliRunner

from enrich.cli.demo import demo
from enrich.cli.emulator import emulator

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"], "FLASK_SKIP_DOTENV": "1"} | {
    name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ
}


@pytest.mark.parametrize(("command", "arguments"), [(emulator, ["--port", "0"]), (demo, ["--seconds", "1"])])
def test_a_missing_emulator_is_named_with_what_to_install(
    command: Command, arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "taskrouter_emulator", None)  # as if it were not installed
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert result.output == (
        "Error: The emulator is not installed: pip install taskrouter-emulator, or make setup in a checkout\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_command_runs_it_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "flask", "emulator", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split(" at ")[1].split(",")[0]
            assert requests.get(f"{address}/_emulator/healthz", timeout=5).json() == {"status": "ok"}
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert process.returncode == 0


def test_the_service_does_not_import_it() -> None:
    script = "import sys, enrich.application, enrich.cli; print('taskrouter_emulator' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
