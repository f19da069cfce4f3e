"""SIDs: two capital letters for the kind of resource, then 32 hexadecimal digits."""

import hashlib
import itertools
import re
import secrets

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


class SidGenerator:
    """Generates SIDs, random unless a seed is given: the same seed gives the same SIDs in the same order."""

    def __init__(self, seed: str | None = None) -> None:
        self._seed = secrets.token_hex(16) if seed is None else seed
        self._count = itertools.count(1)

    def new(self, prefix: str) -> str:
        """Return a new SID of this kind, for example `WT` and 32 digits."""
        digest = hashlib.sha256(f"{self._seed}:{next(self._count)}".encode()).hexdigest()
        return prefix + digest[:32]


def is_sid(text: object, prefix: str) -> bool:
    """Return whether the text has the form of a SID of this kind; the resource need not exist."""
    return isinstance(text, str) and text.startswith(prefix) and _SID.fullmatch(text) is not None
