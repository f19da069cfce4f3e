"""Findings on the newest tasks: the default instruction suits them, the block fits, and it stays on them."""

from __future__ import annotations

from dataclasses import dataclass

from enrich.diagnosis.findings import Finding, ok, problem, warning
from enrich.taskrouter import attributes

MIN_CHARACTERS_LEFT = 500
_WRITE_CONDITIONALLY = (
    "find the program (the tasks' timelines have the times); make it fetch the task, change its own keys only and "
    "write with If-Match"
)


@dataclass(frozen=True, slots=True)
class Kinds:
    """Counts of the newest assignment callbacks: all, calls, and interactions of Flex."""

    seen: int
    calls: int
    flex: int


def instruction(default: str, accept_via: str, kinds: Kinds) -> Finding:
    """Check the default instruction against the newest tasks."""
    check = "instruction"
    found = f"ENRICH_DEFAULT_INSTRUCTION={default}"
    if default in ("auto", "defer") or not kinds.seen:
        note = f"; {kinds.seen} tasks seen, {kinds.calls} of them calls" if kinds.seen else "; no task seen yet"
        return ok(check, found + note)
    via = " over REST" if accept_via == "rest" else ""
    if default == "accept" and kinds.calls:
        return problem(
            check,
            f"{found}, and {kinds.calls} of the last {kinds.seen} tasks were calls (call_sid or outbound_to)",
            f"accepting{via} connects nobody: a caller stays in hold music, and an outbound call is never made",
            "use auto, defer (Flex) or dequeue",
        )
    if kinds.flex:
        return problem(
            check,
            f"{found}, and {kinds.flex} of the last {kinds.seen} tasks are Flex interactions (they hold a SID of Flex)",
            "Flex handles its work itself when the agent accepts; another instruction breaks that",
            "use auto or defer",
        )
    return ok(check, f"{found} suits the last {kinds.seen} tasks")


def overwritten(restored: int, left: int, tasks: int) -> Finding:
    """Check whether other programs overwrite the block (docs/lifecycle.md, "When the block is overwritten").

    restored, left: within the last day, how often it was put back, and on how many tasks it was not. tasks: in all.
    """
    check = "overwritten"
    if not tasks:
        return ok(check, "no other program has overwritten the block within a day")
    found = f"within a day the block was overwritten {restored + left} times, on {tasks} tasks"
    if left:
        return problem(
            check,
            f"{found}; on {left} of them it was left overwritten",
            "agents do not see the customer on these tasks; a program writes attributes without If-Match all the time",
            _WRITE_CONDITIONALLY,
        )
    return warning(
        check,
        f"{found}, and put back each time",
        "agents saw no customer meanwhile; a program writes attributes without If-Match",
        _WRITE_CONDITIONALLY,
    )


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of attributes of the newest tasks written to. no_room, trimmed: counts."""

    seen: int
    longest: int = 0
    most: int = 0  # ninety-five in a hundred are not longer
    trimmed: int = 0
    no_room: int = 0


def headroom(lengths: Lengths) -> Finding:
    """Check the room that other attributes leave for the block (docs/taskrouter.md, "Attributes")."""
    check = "headroom"
    if not lengths.seen:
        return ok(check, "no task has been written to yet")
    found = f"of {lengths.seen} tasks the longest attributes had {lengths.longest:,} of {attributes.LIMIT:,} characters"
    if lengths.no_room:
        return problem(
            check,
            f"{found}; {lengths.no_room} times there was no room for the block",
            "these tasks are not enriched",
            "write less into attributes before the task is created; shorten the block (fields, notes, cases)",
        )
    if lengths.trimmed:
        return warning(
            check,
            f"{found}; {lengths.trimmed} blocks had to shrink",
            "agents do not see all details",
            "write less into attributes before the task is created; shorten the block (fields, notes, cases)",
        )
    if lengths.most > attributes.LIMIT - MIN_CHARACTERS_LEFT:
        return warning(
            check,
            f"{found}; one in twenty has more than {lengths.most:,}",
            "TaskRouter and Flex write there, too: soon the block will be shortened",
            "write less into attributes; shorten the block",
        )
    return ok(check, found)
