"""Labels of sources: the words for each condition, kind of pass and outcome, and what to do about a problem. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from enrich.domain.stream_status import Condition
from enrich.domain.streams import Pass, StreamState
from enrich.pages.label_texts import Tone, Verdict

CONDITIONS = {
    Condition.RUNNING: Verdict("Running", "A worker reads it now.", Tone.BUSY, "dots"),
    Condition.WAITING: Verdict("Due", "A pass is due. A worker begins it within seconds.", Tone.BUSY, "clock"),
    Condition.STOPPED: Verdict("Stopped", "It is not read until somebody mends it.", Tone.BAD, "alert"),
    Condition.HELD: Verdict("Waiting for an answer", "More would be removed than is usual.", Tone.ASK, "shield"),
    Condition.RETRYING: Verdict("Failing", "It could not be read, and is tried again.", Tone.BAD, "broken"),
    Condition.NEVER_READ: Verdict("Not read yet", "A worker begins with a full pass.", Tone.QUIET, "clock"),
    Condition.IN_SYNC: Verdict("In sync", "Its customers here are like those there.", Tone.GOOD, "check"),
}
# A worker that runs begins at once.
NO_WORKER = "A pass is due and does not begin. Does a worker run, with this sources file?"
PUSHED = Verdict("Sends its customers", "It is not read; what it sends is applied at once.", Tone.QUIET, "dot")
NOT_SEEN = Verdict("Not read yet", "No worker has seen it in the sources file yet.", Tone.QUIET, "clock")
UNDECLARED = Verdict(
    "Not declared",
    "The sources file does not name it any more. Its customers stay as they were.",
    Tone.ASK,
    "flag",
)
FILES = Verdict("Files", "What flask crm seed has loaded.", Tone.QUIET, "dot")
FILES_RUNNING = Verdict("Running", "A file is being loaded.", Tone.BUSY, "dots")
FILES_INTERRUPTED = Verdict(
    "Interrupted",
    "The last load did not come to its end. Loaded again, the same file goes on there.",
    Tone.BAD,
    "broken",
)

KINDS = {"sql": "a database", "push": "a system that sends its customers", "file": "files"}

PASSES = {Pass.FULL: "full pass", Pass.WINDOW: "what changed", Pass.KEYS: "keys"}

# The outcomes of a run, in the order in which they are shown.
OUTCOMES = {
    "read": "read",
    "created": "created",
    "changed": "changed",
    "removed": "removed",
    "unchanged": "unchanged",
    "older": "older than here",
    "quarantined": "not loaded",
    "incomplete": "loaded in part",
}

# What an operator does about a problem, by its reason.
REMEDIES = {
    "source_refused": "Correct the password or the rights there, or the URL in the worker’s environment; then run it.",
    "source_misfit": "Correct the sources file, or the table; flask sources check names the difference. Then run it.",
    "source_unavailable": "It is tried again. If it stays away, see if the database runs, and the worker reaches it.",
    "brake_applied": "If that is a mistake, undo it at the source.",
}


def remedy(reason: str) -> str:
    """Return what to do about a problem; "" if nothing is known."""
    return REMEDIES.get(reason, "")


def counts(numbers: Mapping[str, object]) -> str:
    """Return a run's numbers in words: "1,204 read: 3 created, 1,201 unchanged". "" without any."""
    known = {name: number for name in OUTCOMES if isinstance(number := numbers.get(name), int) and number}
    parts = [f"{number:,} {OUTCOMES[name]}" for name, number in known.items() if name != "read"]
    read = known.get("read")
    if read is None:
        return ", ".join(parts)
    return f"{read:,} read{': ' if parts else ''}{', '.join(parts)}"


def kind(stored: str) -> str:
    """Return what kind of source it is; an unknown kind, of a newer version, as it is."""
    return KINDS.get(stored, stored)


def pass_name(pass_: Pass | None) -> str:
    return PASSES[pass_] if pass_ is not None else ""


def of_pushed(state: StreamState | None) -> Verdict:
    """Return the label of a source that sends its customers."""
    return CONDITIONS[Condition.HELD] if state is not None and state.question is not None else PUSHED


def of_files(state: StreamState) -> Verdict:
    """Return the label of the source that files are loaded into."""
    if state.owner is not None:
        return FILES_RUNNING
    return FILES_INTERRUPTED if state.began_at is not None and state.ended_at is None else FILES
