"""Labels: the text for every outcome, reason, kind and step, as staff understand it.

Pure: records in, words out. `Tone` chooses a colour and `icon` a shape, and the word always stands beside both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from enrich.customers.audit import AuditEntry
from enrich.customers.identifiers import STAFF
from enrich.domain.matches import MatchKind, NoMatchReason, Trust
from enrich.domain.outcomes import ActivityType, EntryKind, FollowupKind, Outcome
from enrich.journal.contacts import Contact
from enrich.journal.records import Entry, LookupFinding, Summary


class Tone(StrEnum):
    """The tone of a label; each has its own colour."""

    GOOD = "good"
    ASK = "ask"  # somebody has to look or to decide
    QUIET = "quiet"  # nothing is wrong, there is just nothing
    BAD = "bad"  # it did not work
    BUSY = "busy"  # it is under way


@dataclass(frozen=True, slots=True)
class Verdict:
    """The label of an entry's outcome: one or two words, a sentence that explains them, a tone and an icon."""

    word: str
    sentence: str
    tone: Tone
    icon: str


MATCHES = {
    MatchKind.MATCHED: Verdict(
        "Matched", "One customer matched on verified evidence. The agent sees who it is.", Tone.GOOD, "check"
    ),
    MatchKind.AMBIGUOUS: Verdict(
        "Ambiguous",
        "Several customers match equally well. The agent sees all of them; none was picked at random.",
        Tone.ASK,
        "fork",
    ),
    MatchKind.CLAIMED: Verdict(
        "Claimed, verify first",
        "The visitor claims to be this customer. Verify before you disclose anything.",
        Tone.ASK,
        "shield",
    ),
    MatchKind.NONE: Verdict("No match", "No customer has these details.", Tone.QUIET, "none"),
}

OUTCOMES = {
    Outcome.ENRICHED: Verdict("Enriched", "The customer's details are on the task.", Tone.GOOD, "check"),
    Outcome.COULD_NOT_LOOK: Verdict(
        "Look-up failed",
        "The customer database did not respond, so the customer is not known yet. This is not the same as “No match”.",
        Tone.BAD,
        "no-look",
    ),
    Outcome.COULD_NOT_WRITE: Verdict(
        "Write failed",
        "The look-up worked, but TaskRouter did not accept the result, so the agent does not see it.",
        Tone.BAD,
        "no-write",
    ),
    Outcome.OUT_OF_TIME: Verdict(
        "Out of time",
        "The callback's time ran out. The task was routed without waiting.",
        Tone.BAD,
        "clock",
    ),
    Outcome.MALFORMED: Verdict(
        "Not understood",
        "TaskRouter's request could not be read. It was answered with the default and kept for an engineer.",
        Tone.BAD,
        "garbled",
    ),
    Outcome.NOT_TRIED: Verdict(
        "Answered without look-up",
        "The answer was sent at once without a look-up: TaskRouter called the fallback, or the service was overloaded.",
        Tone.QUIET,
        "skip",
    ),
    Outcome.GONE: Verdict("Task was over", "The task had ended before anything could be written.", Tone.QUIET, "flag"),
    Outcome.FAILED: Verdict(
        "Internal error",
        "An internal error. The task was routed; the log has the details.",
        Tone.BAD,
        "alert",
    ),
}

IN_PROGRESS = Verdict("In progress", "The task is being enriched right now.", Tone.BUSY, "dots")
BROKEN_OFF = Verdict(
    "Interrupted",
    "Work on this started, and the journal does not say how it ended.",
    Tone.BAD,
    "broken",
)
EVENT = Verdict("Event", "An event of the task, as TaskRouter reported it.", Tone.QUIET, "dot")
UNKNOWN = Verdict("Unknown outcome", "This page does not know the outcome in the journal.", Tone.BAD, "alert")


@dataclass(frozen=True, slots=True)
class Mark:
    """A badge beside the outcome: one or two words, a sentence that explains them, a tone."""

    word: str
    sentence: str
    tone: str


ENRICHED_LATE = Mark(
    "Enriched late",
    "The task was enriched after the callback. The agent may have had it by then.",
    "late",
)
FALLBACK = Mark(
    "Fallback",
    "TaskRouter got no usable answer from the callback, and called the fallback URL.",
    "late",
)
FOLLOWUP_OWED = Mark(
    "Follow-up pending",
    "Work on this task is pending; it is retried until it is done or given up.",
    "owed",
)

# Reasons of errors.py and of vocabulary.NoMatchReason, as the end of a line and as a sentence.
REASONS = {
    "no_such_key": ("no customer has these details", "No customer has any of the details on the task."),
    "withheld": ("number withheld", "The caller's number is withheld, and nothing else identifies them."),
    "no_key": ("no contact details", "The task has no number, address or id to look up."),
    "set_by_staff": ("set by staff", "Staff decided that the task belongs to none of the customers found."),
    "failed": ("internal error", "An internal error; the log has the details."),
    "settings": ("wrong setting", "A setting of this service is missing or wrong."),
    "policy": ("policy file invalid", "The policy file is invalid; the service does not start with it."),
    "workspace_file": ("workspace file invalid", "A workspace file is invalid."),
    "plan_refused": ("plan refused", "A planned change of the workspace would do harm and was not applied."),
    "plan_stopped": ("plan stopped", "A planned change of the workspace was interrupted."),
    "fixture_file": ("fixture file invalid", "A file of customer data cannot be read."),
    "invalid_signature": ("invalid signature", "The request was not signed by our account."),
    "malformed_payload": ("request unreadable", "The request is signed, but cannot be read."),
    "database_error": ("database error", "The database returned an error."),
    "database_locked": ("database locked", "Another writer locked the database for too long."),
    "database_busy": ("overload", "The database had too many writes waiting."),
    "database_unavailable": ("database unreachable", "The database could not be reached."),
    "database_resting": (
        "database unreachable",
        "The database had just failed several times, so it was not asked for a moment.",
    ),
    "schema_missing": ("database not set up", "The database's tables are missing or of another version."),
    "taskrouter_error": ("TaskRouter failed", "TaskRouter could not be read or written."),
    "stale_task": (
        "others kept changing the task",
        "Another system changed the task before each of our writes, and was not overwritten.",
    ),
    "task_gone": ("task is over", "TaskRouter no longer knows the task: it is over."),
    "not_authorized": ("credentials refused", "TaskRouter refused our credentials. An operator has to fix that."),
    "rate_limited": ("too many requests", "TaskRouter asked us to slow down."),
    "not_assigned": (
        "not accepted yet",
        "Nobody has accepted the task, so there is nothing to wrap up or to complete.",
    ),
    "request_refused": ("request refused", "TaskRouter refused what we sent."),
    "taskrouter_failed": ("TaskRouter error", "TaskRouter returned a server error."),
    "taskrouter_unreachable": ("TaskRouter unreachable", "TaskRouter could not be reached."),
    "taskrouter_too_slow": ("TaskRouter too slow", "TaskRouter did not respond in time."),
    "taskrouter_resting": (
        "TaskRouter failing",
        "TaskRouter had just failed several times, so it was not asked for a moment.",
    ),
    "not_understood": ("TaskRouter's answer unreadable", "The response was not one of TaskRouter's."),
    "attributes_unreadable": (
        "attributes unreadable",
        "The task's attributes are no JSON object, so nothing can be added without damaging them.",
    ),
    "no_room": ("no room on the task", "The task's other attributes leave no room even for the smallest block."),
    # Said by the stories themselves, not by an error.
    "out_of_time": ("out of time", "The callback's time ran out."),
    "database_too_slow": ("database too slow", "The database did not respond in time."),
    "not_recorded": ("not recorded", "The journal could not be written, so only the default answer was sent."),
    "interrupted": (
        "interrupted",
        "The service was stopped, or had no time to record the outcome.",
    ),
    "overload": ("overload", "The service was overloaded, so this was answered without a look-up."),
    "caught_up": ("found afterwards", "It was not recorded when it came, and was read from TaskRouter afterwards."),
    "fallback": ("fallback", "TaskRouter called the fallback URL, which answers without a look-up."),
}

KINDS = {
    EntryKind.ASSIGNMENT: "Assignment callback",
    EntryKind.FALLBACK: "Fallback callback",
    EntryKind.EVENT: "Event",
    EntryKind.LATE: "Enriched late",
    EntryKind.WARM: "Enriched ahead",
    EntryKind.STAFF: "Requested by staff",
}

TIMES = {"15m": "Last 15 minutes", "1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days"}

# What the feed is narrowed down by.
FILTERS = {
    "q": "Search",
    "outcome": "Outcome",
    "worker": "Worker",
    "queue": "Queue",
    "channel": "Channel",
    "time": "Received",
    "from": "From",
    "to": "Until",
}

CHANNELS = {"sms": "SMS", "mms": "MMS", "rcs": "RCS", "whatsapp": "WhatsApp", "web": "Web chat", "email": "E-mail"}

SHORT_KEYS = {"phone": "phone", "email": "e-mail", "staff": "staff"}

KEYS = {
    "phone": "phone number",
    "email": "e-mail address",
    "customer_id": "customer id",
    "client": "client name",
    "staff": "task identified by staff",
}

TRUSTS = {Trust.VERIFIED: "verified", Trust.CLAIMED: "claimed"}

TRUST_SENTENCES = {
    Trust.VERIFIED: "set by the carrier or by your own flow",
    Trust.CLAIMED: "typed by a visitor, not verified",
}

STEPS = {
    "receive": "Store the receipt",
    "look_up": "Look up the customer",
    "fetch": "Fetch the task",
    "write": "Write the attributes",
    "channel": "Read the task's channel",
    "accept": "Accept the reservation",
    "instruct": "Send the instruction",
    "conclude": "Store the conclusion",
}

FOLLOWUPS = {
    FollowupKind.ENRICH: "Enrich the task late",
    FollowupKind.WARM: "Enrich the task before it is offered",
    FollowupKind.MISSED: "Apply the policy to a missed reservation",
    FollowupKind.HAND_OVER: "Hand over to a new task",
    FollowupKind.WRAP_UP: "Wrap up",
    FollowupKind.COMPLETE: "Complete",
    FollowupKind.FINISHED: "Add the finished task to the customer's history",
}

# What we did, as the story tells it.
TOLD = {
    ActivityType.ESCALATED: ("Escalated", "The level is in the block, for the workflow's filters to route by."),
    ActivityType.PRIORITY_RAISED: ("Priority raised", "No worker accepted it, so its priority was raised."),
    ActivityType.WORKER_MOVED: ("Worker moved", "The worker who missed it was moved to another activity."),
    ActivityType.HANDED_OVER: ("Handed over", "No worker accepted it here; the work continues in a new task."),
    ActivityType.TAKEN_OVER: ("Taken over", "This task continues the work of another one that no worker accepted."),
    ActivityType.ALARM: ("Alarm", "This task needs attention: it is offered again and again."),
    ActivityType.WRAP_UP_ASKED: ("Wrap-up requested", "Wrap-up was requested."),
    ActivityType.COMPLETION_ASKED: ("Completion requested", "Completion was requested."),
    ActivityType.WRAPPED_UP: ("Wrapped up", "The task was put into wrapping."),
    ActivityType.OUTCOME: ("Outcome written", "The outcome is in the block."),
    ActivityType.STUCK: (
        "Stuck in wrapping",
        "It has been wrapping for longer than the policy allows, and is completed now.",
    ),
    ActivityType.COMPLETED: ("Completed", "The task was completed, and the worker is available again."),
    ActivityType.HISTORY: (
        "Added to history",
        "The customer's history has the worker, the time and the duration.",
    ),
}

# What somebody has to look at (policy.timeouts.Alarm), in a few words and as a sentence.
ALARMS = {
    "canceled_loop": (
        "reservations keep being canceled",
        "Reservation after reservation is canceled, as when a worker's device is not registered and never rings.",
    ),
    "assignment_limit": (
        "close to the assignment limit",
        "It was offered so often that TaskRouter will soon cancel it: it does so at 1,000 assignments.",
    ),
    "handed_over_before": (
        "missed again after a hand-over",
        "It was handed over to this task, and no worker accepts it here either. It is not handed over again.",
    ),
}

# Audit trail, as a row of the trail. {key}: "the phone number +1 ..."; {customer}: an id.
CHANGES = {
    "pinned": "identified {customer} as this task's customer",
    "nobody": "decided that it is none of the customers found",
    "released": "withdrew the decision about this task",
    "linked": "linked {key} to {customer}",
    "unlinked": "unlinked {key} from {customer}",
    "created": "created the customer {customer}",
    "edited": "edited {customer}",
    "merged": "merged another customer into {customer}",
    "undone": "undid a change",
    "enriched": "enriched the task again",
    "replayed": "replayed the callback",
}


def verdict(entry: Summary, now: datetime) -> Verdict:
    """Return the label of this entry's outcome; for an enriched one, that of its match."""
    if entry.outcome is None:
        if entry.kind == EntryKind.EVENT:
            return EVENT
        return BROKEN_OFF if entry.is_broken_off(now) else IN_PROGRESS
    if entry.reason == "interrupted":
        return BROKEN_OFF
    if entry.outcome == Outcome.ENRICHED and entry.match is not None:
        return MATCHES[MatchKind(entry.match)] if entry.match in set(MatchKind) else UNKNOWN
    return OUTCOMES[Outcome(entry.outcome)] if entry.outcome in set(Outcome) else UNKNOWN


def verdict_of(contact: Contact) -> Verdict:
    """Return the label for one entry of a customer's history, whose work is over."""
    if contact.outcome == Outcome.ENRICHED and contact.match in set(MatchKind):
        return MATCHES[MatchKind(contact.match)]
    return OUTCOMES[Outcome(contact.outcome)] if contact.outcome in set(Outcome) else UNKNOWN


def reason(entry: Entry) -> str:
    """Why it ended so, as the end of a line: "number withheld"; "" where there is nothing to add."""
    if entry.reason == NoMatchReason.NO_SUCH_KEY:
        return f"no customer has this {_one_kind(entry.finding) or 'number, address or id'}"
    if entry.reason in (entry.outcome, "interrupted"):
        return ""  # the verdict has said it
    return short_reason(entry.reason)


def short_reason(slug: str) -> str:
    """This reason in a few words; "" for none, the slug itself where there are no words for it."""
    return REASONS[slug][0] if slug in REASONS else plain(slug)


def reason_sentence(slug: str) -> str:
    """This reason as a sentence; "" for none."""
    return REASONS[slug][1] if slug in REASONS else plain(slug)


def who(entry: Entry) -> str:
    """The customer's name, or what there is instead; never empty.

    Several candidates are named as alternatives; an unknown caller is called by what they came with. Events know
    nobody, and are called by what they are.
    """
    if entry.kind == EntryKind.EVENT:
        return told(entry.event_type)
    if entry.customer_name or entry.customer_id:
        return entry.customer_name or f"Customer {entry.customer_id}"
    names = [candidate.name or candidate.customer_id for candidate in entry.finding.candidates]
    if names:
        return " or ".join(names[:2]) + (f" or {len(names) - 2} more" if len(names) > 2 else "")
    if entry.finding.keys:
        return entry.finding.keys[0].value
    if entry.finding.withheld:
        return "Withheld number"
    if entry.outcome == Outcome.MALFORMED:
        return "Unreadable request"
    return "No contact details" if entry.match == MatchKind.NONE else "Not known yet"


def is_named(entry: Entry) -> bool:
    """Return whether `who` returns a customer's name, not a substitute."""
    return bool(entry.customer_name or entry.customer_id)


def how(entry: Entry) -> str:
    """Return how the customer was matched: "by phone, verified"; "" without a customer."""
    if not entry.by or entry.match not in (MatchKind.MATCHED, MatchKind.AMBIGUOUS, MatchKind.CLAIMED):
        return ""
    is_told = entry.match != MatchKind.AMBIGUOUS and entry.trust in set(Trust)
    trust = TRUSTS[Trust(entry.trust)] if is_told else ""
    return f"by {SHORT_KEYS.get(entry.by) or plain(entry.by)}" + (f", {trust}" if trust else "")


def marks(entry: Summary, *, owes: bool) -> tuple[Mark, ...]:
    """Return the badges of a task. owes: a follow-up is pending."""
    late = (ENRICHED_LATE,) if entry.kind == EntryKind.LATE and entry.outcome == Outcome.ENRICHED else ()
    fallback = (FALLBACK,) if entry.kind == EntryKind.FALLBACK else ()
    owed = (FOLLOWUP_OWED,) if owes else ()
    return late + fallback + owed


def why(entry: Entry) -> str:
    """Return the customer and the reason, in one or two sentences."""
    if entry.kind == EntryKind.EVENT:
        return TOLD[ActivityType(entry.event_type)][1] if entry.event_type in set(ActivityType) else EVENT.sentence
    key = next((key for key in entry.finding.keys if key.kind == entry.by and key.found), None)
    led = f"the {key_kind(entry.by)} {key.value}" if key else f"the {key_kind(entry.by)}" if entry.by else "the look-up"
    count = len(entry.finding.candidates)
    match entry.match:
        case MatchKind.MATCHED if entry.by == STAFF:
            return f"Staff identified {who(entry)} as this task's customer."
        case MatchKind.MATCHED:
            return f"{_first_up(led)} belongs to {who(entry)} and to no other customer."
        case MatchKind.AMBIGUOUS:
            several = f"{count} customers" if count else "several customers"
            return f"{_first_up(led)} matches {several}, and nothing on the task tells which one."
        case MatchKind.CLAIMED:
            return f"{_first_up(led)} was typed by a visitor. It matches {who(entry)}; verify first."
        case MatchKind.NONE:
            return reason_sentence(entry.reason) or MATCHES[MatchKind.NONE].sentence
        case _:
            return reason_sentence(entry.reason) or "Not looked up yet."


def is_told(event_type: str) -> bool:
    """Return whether the event type is an activity of ours."""
    return event_type in set(ActivityType)


def decided(decision: Mapping[str, Any] | None) -> str:
    """Return the source of the answer in one line: "Rule “Gold” decided, since …"; "" without a policy.

    decision: as the journal keeps it (decision.Decision). What could not be carried out before it is told, too.
    """
    if not decision:
        return ""
    name, when = decision.get("name") or "", decision.get("when") or ""
    line = {
        "rule": f"Rule “{name}” decided" + (f", since {when}." if when else "; it always applies."),
        "channel": f"No rule applied; the default for the channel {name} decided.",
    }.get(str(decision.get("by")), "No rule applied; the default instruction decided.")
    passed = [f" Skipped: {each.get('rule')} ({each.get('reason')})." for each in decision.get("passed") or ()]
    return line + "".join(passed)


def told(event_type: str) -> str:
    """Return the label of an event: TaskRouter's own by their type, ours in words."""
    return TOLD[ActivityType(event_type)][0] if event_type in set(ActivityType) else event_type or EVENT.word


def alarm(slug: str) -> str:
    """Return an alarm as a sentence; "" for none."""
    return ALARMS[slug][1] if slug in ALARMS else plain(slug)


def settle_word(entry: Entry) -> str:
    """Return the label of the button that leads to identifying the customer."""
    match entry.match:
        case MatchKind.AMBIGUOUS:
            return "Choose the customer"
        case MatchKind.CLAIMED:
            return "Verify customer"
        case MatchKind.MATCHED:
            return "Wrong customer?"
        case _:
            return "Identify customer"


def change(done: AuditEntry) -> str:
    """Return the text of one row of the audit trail."""
    key = next((_key_word(each) for each in done.after["keys"]), "")
    words = CHANGES.get(done.action, plain(done.action))
    return words.format(key=key or "the details", customer=done.customer_id or "")


def _key_word(key: Mapping[str, Any]) -> str:
    return f"the {key_kind(key['kind'])} {key['value']}"


def channel(name: str) -> str:
    """Return the label of a channel: "WhatsApp", "Voice"."""
    return CHANNELS.get(name) or _first_up(plain(name))


def ended(kind: FollowupKind, reason: str, *, is_over: bool) -> str:
    """Return the outcome of a request to wrap up or complete a task, as text.

    reason: why it failed; "" if it did not.
    """
    done = "wrapped up" if kind is FollowupKind.WRAP_UP else "completed"
    if not is_over:
        why = f" {reason_sentence(reason)}" if reason else ""
        return f"It could not be {done} yet.{why} It is retried until it is done."
    return f"It was not {done}. {reason_sentence(reason)}" if reason else f"It is {done}."


def key_kind(kind: str) -> str:
    """Return the label of a kind of look-up key: "phone number", "account number"."""
    return KEYS.get(kind) or plain(kind)


def step(name: str) -> str:
    return STEPS.get(name) or _first_up(plain(name))


def followup(kind: str) -> str:
    return FOLLOWUPS[FollowupKind(kind)] if kind in set(FollowupKind) else _first_up(plain(kind))


def kind(name: str) -> str:
    return KINDS[EntryKind(name)] if name in set(EntryKind) else plain(name)


def plain(slug: str) -> str:
    """A slug as words: for what was added elsewhere and has no words of its own here."""
    return slug.replace("_", " ").replace(".", " ")


def endings() -> dict[str, str]:
    """Return the outcomes that the feed can be filtered by, with their labels."""
    return {
        "trouble": "All errors",
        "owed": FOLLOWUP_OWED.word,
        **{str(match): verdict.word for match, verdict in MATCHES.items()},
        **{str(outcome): OUTCOMES[outcome].word for outcome in OUTCOMES if outcome is not Outcome.ENRICHED},
        "in_progress": IN_PROGRESS.word,
    }


def legend() -> Iterable[Verdict]:
    """Return the labels that may stand in the feed, best first."""
    return (
        *MATCHES.values(),
        *(
            OUTCOMES[outcome]
            for outcome in (
                Outcome.COULD_NOT_LOOK,
                Outcome.COULD_NOT_WRITE,
                Outcome.OUT_OF_TIME,
                Outcome.MALFORMED,
                Outcome.NOT_TRIED,
            )
        ),
        IN_PROGRESS,
    )


def legend_of_marks() -> Iterable[Mark]:
    """Return the badges that may stand beside them."""
    return (FOLLOWUP_OWED, ENRICHED_LATE, FALLBACK)


def _one_kind(finding: LookupFinding) -> str:
    kinds = {key.kind for key in finding.keys}
    return key_kind(kinds.pop()) if len(kinds) == 1 else ""


def _first_up(words: str) -> str:
    return words[:1].upper() + words[1:]
