"""The directory that several processes count into: made, shared, cleaned."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from enrich.telemetry import multiprocess
from enrich.telemetry.multiprocess import MetricsDirectory


@pytest.fixture(autouse=True)
def _the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(multiprocess.VARIABLE, "")  # so that it is put back afterwards


def test_it_is_shared_by_its_name_and_gone_in_the_end(tmp_path: Path) -> None:
    made = MetricsDirectory(tmp_path)
    assert multiprocess.shared() == made.path
    assert list(tmp_path.iterdir()) == [made.path]
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_two_servers_have_one_each(tmp_path: Path) -> None:
    first, second = MetricsDirectory(tmp_path), MetricsDirectory(tmp_path)
    assert first.path != second.path
    assert first.path.exists()
    for each in (first, second):
        each.remove()


def test_what_a_dead_process_was_doing_is_forgotten_and_what_it_did_is_not(tmp_path: Path) -> None:
    made = MetricsDirectory(tmp_path)
    for name in ("gauge_livesum_17.db", "counter_17.db", "gauge_livesum_117.db"):
        (made.path / name).touch()
    made.forget(17)
    assert {path.name for path in made.path.glob("*.db")} == {"counter_17.db", "gauge_livesum_117.db"}
    made.remove()


def test_the_next_server_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """A process of its own makes one and is gone without a word."""
    code = (
        "import os, pathlib, sys; from enrich.telemetry.multiprocess import MetricsDirectory;"
        " c = MetricsDirectory(pathlib.Path(sys.argv[1])); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    (left,) = tmp_path.iterdir()
    made = MetricsDirectory(tmp_path)
    assert list(tmp_path.iterdir()) == [made.path]
    assert left != made.path
    made.remove()


def test_a_worker_that_outlives_its_master_keeps_it(tmp_path: Path) -> None:
    """The lock is inherited: as long as anybody counts there, nobody removes it."""
    (left := tmp_path / "enrich-counts-x").mkdir()
    with (left / "in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        MetricsDirectory(tmp_path).remove()
        assert left.exists()
    MetricsDirectory(tmp_path).remove()
    assert not left.exists()


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.mkdir()
    (elsewhere / "in-use").touch()
    (tmp_path / "enrich-counts-link").symlink_to(elsewhere)
    (tmp_path / "enrich-counts-without-lock").mkdir()
    MetricsDirectory(tmp_path).remove()
    assert (elsewhere / "in-use").exists()
    assert (tmp_path / "enrich-counts-without-lock").exists()
    assert os.environ[multiprocess.VARIABLE]
