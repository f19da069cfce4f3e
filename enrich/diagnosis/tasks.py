"""Findings on the newest tasks: whether the default instruction suits them, and the block fits and stays on them."""

from __future__ import annotations

from dataclasses import dataclass

from enrich.domain.findings import Finding, ok, problem, warning
from enrich.taskrouter import attributes

MIN_CHARACTERS_LEFT = 500
_WRITE_CONDITIONALLY = (
    "find the program (the tasks' timelines have the times); make it fetch the task, change its own keys only and "
    "write with If-Match"
)


@dataclass(frozen=True, slots=True)
class Kinds:
    """Counts of the newest assignment callbacks: all, calls, and interactions of Flex."""

    total: int
    calls: int
    flex: int


def instruction(default: str, accept_via: str, kinds: Kinds) -> Finding:
    """Check the default instruction against the newest tasks."""
    check = "instruction"
    observation = f"ENRICH_DEFAULT_INSTRUCTION={default}"
    if default in ("auto", "defer") or not kinds.total:
        note = f"; {kinds.total} tasks seen, {kinds.calls} of them calls" if kinds.total else "; no task seen yet"
        return ok(check, observation + note)
    via = " over REST" if accept_via == "rest" else ""
    if default == "accept" and kinds.calls:
        return problem(
            check,
            f"{observation}, and {kinds.calls} of the last {kinds.total} tasks were calls (call_sid or outbound_to)",
            f"accepting{via} connects nobody: a caller stays in hold music, and an outbound call is never made",
            "use auto, defer (Flex) or dequeue",
        )
    if kinds.flex:
        return problem(
            check,
            f"{observation}, and {kinds.flex} of the last {kinds.total} tasks are Flex interactions "
            "(they hold a SID of Flex)",
            "Flex handles its work itself when the agent accepts; another instruction breaks that",
            "use auto or defer",
        )
    return ok(check, f"{observation} suits the last {kinds.total} tasks")


def overwritten(restored: int, left: int, tasks: int) -> Finding:
    """Check whether other programs overwrite the block (docs/lifecycle.md, "When the block is overwritten").

    restored, left: within the last day, how often it was put back, and on how many tasks it was not. tasks: in all.
    """
    check = "overwritten"
    if not tasks:
        return ok(check, "no other program has overwritten the block within a day")
    observation = f"within a day the block was overwritten {restored + left} times, on {tasks} tasks"
    if left:
        return problem(
            check,
            f"{observation}; on {left} of them it was left overwritten",
            "agents do not see the customer on these tasks; a program writes attributes without If-Match all the time",
            _WRITE_CONDITIONALLY,
        )
    return warning(
        check,
        f"{observation}, and put back each time",
        "agents saw no customer meanwhile; a program writes attributes without If-Match",
        _WRITE_CONDITIONALLY,
    )


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the attributes of the newest tasks that were written to.

    total, trimmed, no_room: counts of tasks. longest, p95: characters.
    """

    total: int
    longest: int = 0
    p95: int = 0
    trimmed: int = 0
    no_room: int = 0


def headroom(lengths: Lengths) -> Finding:
    """Check the room that other attributes leave for the block (docs/taskrouter.md, "Attributes")."""
    check = "headroom"
    if not lengths.total:
        return ok(check, "no task has been written to yet")
    observation = (
        f"of {lengths.total} tasks the longest attributes had {lengths.longest:,} of {attributes.LIMIT:,} characters"
    )
    if lengths.no_room:
        return problem(
            check,
            f"{observation}; {lengths.no_room} times there was no room for the block",
            "these tasks are not enriched",
            "write less into attributes before the task is created; shorten the block (fields, notes, cases)",
        )
    if lengths.trimmed:
        return warning(
            check,
            f"{observation}; {lengths.trimmed} blocks had to shrink",
            "agents do not see all details",
            "write less into attributes before the task is created; shorten the block (fields, notes, cases)",
        )
    if lengths.p95 > attributes.LIMIT - MIN_CHARACTERS_LEFT:
        return warning(
            check,
            f"{observation}; one in twenty has more than {lengths.p95:,}",
            "TaskRouter and Flex write there, too: soon the block will have to shrink",
            "write less into attributes; shorten the block",
        )
    return ok(check, observation)
