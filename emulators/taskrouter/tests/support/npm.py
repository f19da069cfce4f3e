"""Packages of the npm registry that only tests need: fetched at a pinned version, verified, kept in pytest's cache."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

PATIENCE_S = 120
_IMPATIENT = ("--fetch-retries=0", "--fetch-timeout=15000", "--no-update-notifier", "--loglevel=error")


def npm_pack(package: str, integrity: str, cache: Path) -> Path:
    """Return the package's archive, downloaded unless it is cached. Skips the test without npm or a registry.

    package: name@version. integrity: as the registry writes it, `sha512-` and Base64. A wrong archive is a failure,
    never a skip.
    """
    archive = cache / (package.strip("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not archive.exists():
        run_npm(["pack", package, "--pack-destination", str(cache)], cache)
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if "sha512-" + base64.b64encode(digest).decode() != integrity:
        archive.unlink()
        pytest.fail(f"{package} is not the archive that was pinned")
    return archive


def run_npm(arguments: list[str], folder: Path) -> None:
    """Run npm in this folder. Skips the test, with the reason, where it fails."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine")
    try:
        done = subprocess.run(
            [npm, *arguments, *_IMPATIENT], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the npm registry did not answer within {PATIENCE_S} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it does not say why"])[0]
        pytest.skip(f"npm could not fetch it: {reason}")
