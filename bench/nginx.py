"""nginx with the configuration that is shipped, in front of a service; only addresses and folders are changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from enrich.demo.processes import DidNotStart, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SHIPPED = Path(__file__).parents[1] / "docs" / "operations" / "nginx.conf"
_MAX_START_S = 20.0


@contextmanager
def nginx(folder: Path, upstream: str, port: int = 0) -> Iterator[str]:
    """Run nginx while in the context, and yield its URL.

    folder: for its files. upstream: host and port of the one service that stands for all; the other replica is down,
    as while it is being replaced. port: to listen on, 0 for any. Raises DidNotStart.
    """
    port = port or free_port(0)
    text = SHIPPED.read_text().replace("listen 8080;", f"listen 127.0.0.1:{port};")
    text = re.sub(r"(hooks-1|page):8000", upstream, text).replace("hooks-2:8000", f"127.0.0.1:{free_port(0)}")
    text = re.sub(r"/(tmp|etc/nginx)/", f"{folder}/", text)
    configuration, log = folder / "nginx.conf", folder / "log"
    configuration.write_text(text)
    command = [str(NGINX), "-p", str(folder), "-c", str(configuration), "-e", str(log)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    if checked.returncode:
        raise DidNotStart(checked.stderr)
    with log.open("w") as output:
        # Started by root, its workers would be somebody who may not write into the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        process = subprocess.Popen([*command, "-g", f"daemon off; {user}"], stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/healthz")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str) -> None:
    until = time.monotonic() + _MAX_START_S
    while time.monotonic() < until:
        with suppress(requests.ConnectionError):
            if requests.get(url, timeout=5).ok:
                return
        time.sleep(0.05)
    raise DidNotStart(f"nginx does not answer at {url}")
