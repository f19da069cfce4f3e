"""The packages of a requirements file that `make lock` has written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = re.compile(r"^(?P<name>[\w.-]+)(?:\[\S+\])?==(?P<version>[^\s;\\]+)(?P<rest>(?:.*\\\n)*.*)$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class LockedPackage:
    """One version, and the SHA-256 of each file in which the index has it."""

    name: str
    version: str
    sha256: tuple[str, ...]


def read_lock_files(paths: Iterable[Path]) -> list[LockedPackage]:
    """Return the packages of all files by name, each once, those for other platforms included."""
    found = {
        match["name"]: LockedPackage(match["name"], match["version"], tuple(_HASH.findall(match["rest"])))
        for path in paths
        for match in _PACKAGE.finditer(path.read_text())
    }
    return [found[name] for name in sorted(found)]
