"""Processes that are started and ended together, and ports that may be taken."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

# Longer than the web server's graceful stop; what has not ended by then is killed.
MAX_STOP_S = 15.0
MAX_START_S = 60.0


class DidNotStart(Exception):
    """A process ended before it answered. The message holds the last lines that it wrote."""


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """Return the wanted port if it is free, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DidNotStart("no port is free")


def _end_with_parent() -> None:
    """Linux ends this process when its parent dies, however that came about. Elsewhere it lives on."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


@dataclass
class Processes:
    """A context: every process that was started in it has ended when it is left. Output goes to files in `logs`."""

    environment: Mapping[str, str]
    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Start `python -m <arguments>` under this name."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("wb") as output:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own modules, nothing from outside
                [sys.executable, "-m", *arguments],
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end them, in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call of the kernel, which takes no lock
            )

    def pid(self, name: str) -> int:
        """Return the id of the process that was started; what it started itself are its children."""
        return self._running[name].pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send the signal to the process and to everything that it started."""
        os.killpg(self._running[name].pid, number)

    def wait_for_end(self, name: str, timeout_s: float = MAX_STOP_S) -> int:
        """Wait for the process to end and return its status. Raises subprocess.TimeoutExpired."""
        return self._running[name].wait(timeout_s)

    def wait_for(self, name: str, url: str, is_over: Callable[[], bool]) -> None:
        """Wait until the process answers 200 at this address, or `is_over`. Raises DidNotStart."""
        until = time.monotonic() + MAX_START_S
        while not is_over():
            self.check((name,))
            try:
                if requests.get(url, timeout=2).ok:
                    return
            except requests.RequestException:
                if time.monotonic() > until:
                    raise DidNotStart(f"{name} does not answer at {url}") from None
            time.sleep(0.1)

    def check(self, names: Sequence[str] = ()) -> None:
        """Check that these processes, or all, still run. Raises DidNotStart if one has ended."""
        for name in names or tuple(self._running):
            status = self._running[name].poll()
            if status is not None:
                last = self._log(name).read_text(errors="replace").splitlines()[-15:]
                raise DidNotStart(f"{name} ended with status {status}. Its last lines:\n  " + "\n  ".join(last))

    def output(self, name: str) -> str:
        """Return what the process has written so far."""
        return self._log(name).read_text(errors="replace")

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running.values()):
            process.terminate()
        until = time.monotonic() + MAX_STOP_S
        for process in self._running.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
