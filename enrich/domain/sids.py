"""The shape of Twilio's SIDs: two capital letters and 32 hexadecimal digits (docs/taskrouter.md, "SIDs")."""

from __future__ import annotations

import re
from typing import TypeGuard

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def is_sid(value: object, prefix: str = "") -> TypeGuard[str]:
    """Return whether the whole value is a string and a SID. prefix: "WT" for a task, and so on; "" for any."""
    return isinstance(value, str) and value.startswith(prefix) and _SID.fullmatch(value) is not None
