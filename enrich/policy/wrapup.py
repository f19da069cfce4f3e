"""Wrap-up: the `[wrapup]` table of the policy file.

TaskRouter does not complete a task that is wrapping (docs/taskrouter.md, "Wrap-up and completion"), and until it is
completed it takes up its worker's capacity.

    [wrapup]
    complete_after_s = 300            # seconds in wrapping; without it no task is completed automatically
    reason = "wrap-up time is over"   # for TaskRouter, and for the customer's history

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from enrich.domain.lengths import MAX_COMPLETION_REASON_LENGTH
from enrich.policy.problems import Problems

TABLE = "wrapup"
# An agent needs a moment, and TaskRouter deletes a task that wraps up for a day (docs/taskrouter.md, "Time limits").
MIN_AFTER_S, MAX_AFTER_S = 5, 86_400


@dataclass(frozen=True, slots=True)
class WrapupPolicy:
    """The `[wrapup]` table. complete_after_s: seconds of wrapping after which a task is completed; None for never."""

    complete_after_s: int | None = None
    reason: str = "wrap-up time is over"


def parse_wrapup(table: Mapping[str, object], problems: Problems) -> WrapupPolicy:
    """Return the policy of this table; mistakes are added to `problems` and left out."""
    default = WrapupPolicy()
    known_keys = ("complete_after_s", "reason")
    for key in table:
        if key not in known_keys:
            problems.add(TABLE, str(key), f"is not known here; there are {', '.join(known_keys)}")
    seconds = table.get("complete_after_s")
    if seconds is not None and (
        isinstance(seconds, bool) or not isinstance(seconds, int) or not MIN_AFTER_S <= seconds <= MAX_AFTER_S
    ):
        problems.add(TABLE, "complete_after_s", f"must be a whole number from {MIN_AFTER_S} to {MAX_AFTER_S:,}")
        seconds = None
    reason = table.get("reason", default.reason)
    if not isinstance(reason, str) or not reason.strip() or len(reason) > MAX_COMPLETION_REASON_LENGTH:
        problems.add(TABLE, "reason", f"must be a text of 1 to {MAX_COMPLETION_REASON_LENGTH} characters")
        reason = default.reason
    return WrapupPolicy(seconds, reason)
