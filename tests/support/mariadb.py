"""A real MariaDB server for tests, if Debian's package is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian puts servers where only root looks.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_START_TIMEOUT_S = 60


def is_installed() -> bool:
    return all(shutil.which(program, path=_PATH) for program in ("mariadbd", "mariadb-install-db"))


@contextmanager
def running_mariadb(folder: Path) -> Iterator[str]:
    """Run a server of its own in this folder and yield the URL of its superuser, without a database."""
    # A socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="mariadb-") as run_folder:
        socket = Path(run_folder) / "socket"
        install, server = (str(shutil.which(name, path=_PATH)) for name in ("mariadb-install-db", "mariadbd"))
        options = ["--no-defaults", f"--datadir={folder}", *(["--user=root"] if os.geteuid() == 0 else [])]
        authentication = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([install, *options, *authentication], check=True, capture_output=True)
        process = subprocess.Popen(
            [server, *options, f"--socket={socket}", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("MariaDB did not start")
                time.sleep(0.05)
            yield f"mysql://root@localhost/?unix_socket={socket}"
        finally:
            process.terminate()
            process.wait(timeout=30)
