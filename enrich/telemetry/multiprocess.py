"""The directory in which the processes of one gunicorn count (`metrics.py`), from its making to its removal.

Each server has a directory of its own, made anew when it starts, so that no number of an earlier run is told again and
two servers on one machine do not count into each other's files. Nobody has to name it, and nobody has to empty it: a
lock on it is held by whoever counts there, and the kernel gives that up for the dead. What a killed server left behind
is removed by the next one that starts.

Knows nothing of Prometheus: its library decides when it is imported whether it counts into files, and gunicorn's
master, which works with this module, must not import it before its workers have been patched by gevent.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

# The name under which prometheus_client looks for it.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "enrich-counts-"
_MAKING = "making-enrich-counts-"
_LOCK = "in-use"


class MetricsDirectory:
    """The directory of one server: made by its master, used by its workers, which inherit the lock."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: where to make it (default: the machine's folder for temporary files). May raise OSError."""
        folder = folder or Path(tempfile.gettempdir())
        _remove_abandoned(folder)
        making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=folder))
        self._lock = (making / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now it has a name under which another server, starting at this moment, would look whether it is in use.
        self.path = making.rename(folder / making.name.replace(_MAKING, _PREFIX, 1))
        os.environ[VARIABLE] = str(self.path)

    def forget(self, pid: int) -> None:
        """Drop the gauges of a dead process; its counters stay."""
        for file in self.path.glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def shared() -> Path | None:
    """The directory that this process counts into together with others; None: it counts alone."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def _remove_abandoned(folder: Path) -> None:
    """Removes the directories whose servers are gone, workers included. Those of other users are none of ours."""
    for path in folder.glob(f"{_PREFIX}*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            with (path / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # in use; or being removed at this very moment
            continue
