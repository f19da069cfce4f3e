"""The shape of Twilio's SIDs: two capital letters and 32 hexadecimal digits (docs/taskrouter.md, "SIDs")."""

from __future__ import annotations

import re

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def is_sid(value: str, prefix: str = "") -> bool:
    """Return whether the whole value is a SID. prefix: "WT" for a task, and so on; "" for any."""
    return value.startswith(prefix) and _SID.fullmatch(value) is not None
