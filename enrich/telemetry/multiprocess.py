"""The directory into which the processes of one gunicorn server count (`metrics.py`), from creation to removal.

Each server creates its own directory when it starts, so that no count of an earlier run is reported again and two
servers on one machine do not count into each other's files. Nobody has to configure or empty it: the processes that
count there hold a lock, and the kernel releases the lock of a dead process. The next server that starts removes what a
killed one left behind.

This module does not import prometheus_client. That library decides at import whether it counts into files, and
gunicorn's master, which uses this module, must not import it before gevent has patched the workers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

# prometheus_client reads the directory from this variable.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "enrich-counts-"
_MAKING = "making-enrich-counts-"
_LOCK = "in-use"


class MetricsDirectory:
    """The directory of one server: created by its master, used by its workers, which inherit the lock."""

    def __init__(self, folder: Path | None = None) -> None:
        """Create the directory. folder: its parent (default: the system's temporary folder). May raise OSError."""
        folder = folder or Path(tempfile.gettempdir())
        _remove_abandoned(folder)
        unlocked = Path(tempfile.mkdtemp(prefix=_MAKING, dir=folder))
        self._lock = (unlocked / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Renamed only once it is locked: a server that starts at this moment removes unlocked directories of this name.
        self.path = unlocked.rename(folder / unlocked.name.replace(_MAKING, _PREFIX, 1))
        os.environ[VARIABLE] = str(self.path)

    def forget(self, pid: int) -> None:
        """Remove the gauges of a dead process; its counters stay."""
        for file in self.path.glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def shared() -> Path | None:
    """Return the directory that this process shares with others for its counts; None if it counts alone."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def _remove_abandoned(folder: Path) -> None:
    """Remove the directories of servers that have ended, workers included, except those of other users."""
    for path in folder.glob(f"{_PREFIX}*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            with (path / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            # In use, or being removed by another server at this moment.
            continue
