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
        "Matched", "One customer, on evidence that can be trusted. The agent sees who it is.", Tone.GOOD, "check"
    ),
    MatchKind.AMBIGUOUS: Verdict(
        "Ambiguous",
        "Several customers fit equally well. The agent sees all of them; none was picked at random.",
        Tone.ASK,
        "fork",
    ),
    MatchKind.CLAIMED: Verdict(
        "Claimed, verify first",
        "Somebody says that they are this customer, and nothing proves it. Verify before anything is disclosed.",
        Tone.ASK,
        "shield",
    ),
    MatchKind.NONE: Verdict("No match", "We looked, and there is nobody.", Tone.QUIET, "none"),
}

OUTCOMES = {
    Outcome.ENRICHED: Verdict("Enriched", "What we know about the customer stands on the task.", Tone.GOOD, "check"),
    Outcome.COULD_NOT_LOOK: Verdict(
        "Could not look",
        "The customer data did not answer, so nobody knows yet who this is. That is not the same as “no match”.",
        Tone.BAD,
        "no-look",
    ),
    Outcome.COULD_NOT_WRITE: Verdict(
        "Could not write",
        "The look-up worked, but TaskRouter did not take the result: the agent does not see it.",
        Tone.BAD,
        "no-write",
    ),
    Outcome.OUT_OF_TIME: Verdict(
        "Out of time",
        "The time for the answer ran out. The task was routed on without waiting for us.",
        Tone.BAD,
        "clock",
    ),
    Outcome.MALFORMED: Verdict(
        "Not understood",
        "TaskRouter's request could not be read. It was answered safely and kept for an engineer.",
        Tone.BAD,
        "garbled",
    ),
    Outcome.NOT_TRIED: Verdict(
        "Answered without look-up",
        "The answer went out at once and nobody looked: the fallback was asked, or there was too much to do.",
        Tone.QUIET,
        "skip",
    ),
    Outcome.GONE: Verdict("Task was over", "The task had ended before anything could be written.", Tone.QUIET, "flag"),
    Outcome.FAILED: Verdict(
        "Our mistake",
        "Something in this service went wrong. The task was routed on; the log has the details.",
        Tone.BAD,
        "alert",
    ),
}

IN_PROGRESS = Verdict("In progress", "The task is being enriched right now.", Tone.BUSY, "dots")
BROKEN_OFF = Verdict(
    "Broken off",
    "Work on this began, and the journal does not say how it ended.",
    Tone.BAD,
    "broken",
)
EVENT = Verdict("Event", "TaskRouter told us that something happened to the task.", Tone.QUIET, "dot")
UNKNOWN = Verdict("Unknown outcome", "This page does not know the outcome in the journal.", Tone.BAD, "alert")


@dataclass(frozen=True, slots=True)
class Mark:
    """A badge beside the outcome: one or two words, a sentence that explains them, a tone."""

    word: str
    sentence: str
    tone: str


ENRICHED_LATE = Mark(
    "Enriched late",
    "The callback could not do it in time; it was done afterwards. The task may have been with the agent by then.",
    "late",
)
FALLBACK = Mark(
    "Fallback",
    "TaskRouter got no answer from the callback that it could use, and asked the fallback address instead.",
    "late",
)
FOLLOWUP_OWED = Mark(
    "Follow-up owed",
    "Something is still to be done for this task; it is tried again until it is done or given up.",
    "owed",
)

# Reasons of errors.py and of vocabulary.NoMatchReason, as the end of a line and as a sentence.
REASONS = {
    "no_such_key": ("nobody has these details", "No customer has any of the details that came with the task."),
    "withheld": ("number withheld", "The caller hides the number, and nothing else says who it is."),
    "no_key": ("nothing to look up by", "The task carries no number, address or id that a customer could be found by."),
    "set_by_staff": ("settled by staff", "Staff said that this task is none of the customers who were found."),
    "failed": ("a mistake of ours", "A mistake of ours; the log has the details."),
    "settings": ("wrong setting", "A setting of this service is missing or wrong."),
    "policy": ("policy file wrong", "The policy file cannot be followed; the service does not start with it."),
    "workspace_file": ("workspace file wrong", "A file that describes a workspace cannot be followed."),
    "plan_refused": ("plan refused", "A planned change of the workspace would do harm, and was not made."),
    "plan_stopped": ("plan stopped", "A planned change of the workspace was broken off."),
    "fixture_file": ("fixture file wrong", "A file of customer data cannot be read."),
    "invalid_signature": ("signature wrong", "The request was not signed by our account."),
    "malformed_payload": ("request unreadable", "The request is signed, but it cannot be understood."),
    "database_error": ("customer data failed", "Our database refused the question."),
    "database_locked": ("customer data busy", "Our database was busy with another writer for too long."),
    "database_busy": ("too much at once", "So much was being written to our database that its turn did not come."),
    "database_unavailable": ("customer data unreachable", "Our database could not be reached."),
    "database_resting": (
        "customer data unreachable",
        "Our database had just failed several times, so it was left alone for a moment.",
    ),
    "schema_missing": ("database not set up", "The tables of our database are missing or of another version."),
    "taskrouter_error": ("TaskRouter failed", "TaskRouter could not be read or written."),
    "stale_task": (
        "others kept changing the task",
        "Somebody else changed the task each time we wanted to write, so we did not overwrite them.",
    ),
    "task_gone": ("task is over", "TaskRouter no longer knows the task: it is over."),
    "not_authorized": ("credentials refused", "TaskRouter refused our credentials. An operator has to mend that."),
    "rate_limited": ("too many requests", "TaskRouter asked us to slow down."),
    "not_assigned": (
        "not accepted yet",
        "Nobody has accepted the task, so there is nothing to wrap up or to complete.",
    ),
    "request_refused": ("request refused", "TaskRouter refused what we sent."),
    "taskrouter_failed": ("TaskRouter had an error", "TaskRouter had an error of its own."),
    "taskrouter_unreachable": ("TaskRouter unreachable", "TaskRouter could not be reached."),
    "taskrouter_too_slow": ("TaskRouter too slow", "TaskRouter did not answer within the time that was left."),
    "taskrouter_resting": (
        "TaskRouter in trouble",
        "TaskRouter had just failed several times, so it was left alone for a moment.",
    ),
    "not_understood": ("TaskRouter's answer unreadable", "What came back was not an answer of TaskRouter."),
    "attributes_unreadable": (
        "attributes unreadable",
        "The task's attributes are not a JSON object, so nothing can be added without harming them.",
    ),
    "no_room": ("no room on the task", "The attributes of others leave no room for even the smallest note of ours."),
    # Said by the stories themselves, not by an error.
    "out_of_time": ("out of time", "The time for the answer ran out."),
    "database_too_slow": ("customer data too slow", "Our database did not answer within the time that was left."),
    "not_recorded": ("not recorded", "The journal could not be written, so only the default went out."),
    "interrupted": (
        "end not recorded",
        "The service was stopped meanwhile, or had no time to write down how it ended.",
    ),
    "overload": ("too much at once", "More came in at once than we work on, so this was answered without looking."),
    "caught_up": ("found afterwards", "It could not be recorded when it came; TaskRouter told us of it afterwards."),
    "fallback": ("fallback was asked", "TaskRouter asked the fallback address, which answers without looking."),
}

KINDS = {
    EntryKind.ASSIGNMENT: "Assignment callback",
    EntryKind.FALLBACK: "Fallback callback",
    EntryKind.EVENT: "Event",
    EntryKind.LATE: "Enriched late",
    EntryKind.WARM: "Enriched ahead",
    EntryKind.STAFF: "Asked for by staff",
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
    "staff": "settled task",
}

TRUSTS = {Trust.VERIFIED: "verified", Trust.CLAIMED: "claimed"}

TRUST_SENTENCES = {
    Trust.VERIFIED: "set by the carrier or by your own flow",
    Trust.CLAIMED: "typed by a visitor, proves nothing",
}

STEPS = {
    "receive": "Write the receipt",
    "look_up": "Look the customer up",
    "fetch": "Fetch the task",
    "write": "Write the attributes",
    "channel": "Ask for the task's channel",
    "accept": "Accept the reservation",
    "instruct": "Carry the instruction out",
    "conclude": "Write the conclusion",
}

FOLLOWUPS = {
    FollowupKind.ENRICH: "Enrich the task late",
    FollowupKind.WARM: "Enrich the task before it is offered",
    FollowupKind.MISSED: "Do what the policy says to a missed reservation",
    FollowupKind.HAND_OVER: "Hand the work over in a new task",
    FollowupKind.WRAP_UP: "Wrap up",
    FollowupKind.COMPLETE: "Complete",
    FollowupKind.FINISHED: "Keep what is finished in the customer's history",
}

# What we did, as the story tells it.
TOLD = {
    ActivityType.ESCALATED: ("Escalated", "The level stands in our block, for the workflow's filters to route by."),
    ActivityType.PRIORITY_RAISED: ("Priority raised", "Nobody took it up, so it goes before others now."),
    ActivityType.WORKER_MOVED: ("Worker moved", "The worker who let it ring was put into another activity."),
    ActivityType.HANDED_OVER: ("Handed over", "Nobody took it up here: the work went on in a new task."),
    ActivityType.TAKEN_OVER: ("Taken over", "This task goes on with the work of another one that nobody took up."),
    ActivityType.ALARM: ("Alarm", "Somebody should look at this task: it is offered again and again."),
    ActivityType.WRAP_UP_ASKED: ("Wrap-up asked for", "Somebody wants it wrapped up."),
    ActivityType.COMPLETION_ASKED: ("Completion asked for", "Somebody wants it completed."),
    ActivityType.WRAPPED_UP: ("Wrapped up", "TaskRouter was told that the work itself is over."),
    ActivityType.OUTCOME: ("Outcome written", "What came of the work stands in our block."),
    ActivityType.STUCK: (
        "Stuck in wrapping",
        "It has been wrapping for longer than the policy allows, and is completed now.",
    ),
    ActivityType.COMPLETED: ("Completed", "TaskRouter was told that all of it is over, and the worker is free again."),
    ActivityType.HISTORY: (
        "Kept in history",
        "The customer's history tells who dealt with it, when, and for how long.",
    ),
}

# What somebody has to look at (policy.timeouts.Alarm), in a few words and as a sentence.
ALARMS = {
    "canceled_loop": (
        "offered in a circle",
        "Reservation after reservation is canceled, as when a worker's device is not registered and never rings.",
    ),
    "assignment_limit": (
        "close to the limit",
        "It was offered so often that TaskRouter is about to cancel it: at the thousandth time it does.",
    ),
    "handed_over_before": (
        "missed again after a hand-over",
        "It was handed over to here, and nobody takes it up here either. It is not handed over a second time.",
    ),
}

# What staff did, as a row of the trail. {key}: "the phone number +1 ..."; {customer}: an id.
CHANGES = {
    "pinned": "said that this task is {customer}'s",
    "nobody": "said that it is none of those who were found",
    "released": "let the task's own details decide again",
    "linked": "gave {key} to {customer}",
    "unlinked": "took {key} from {customer}",
    "created": "made the customer {customer}",
    "edited": "edited {customer}",
    "merged": "merged another customer into {customer}",
    "undone": "took a change back",
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
        return f"nobody has this {_one_kind(entry.finding) or 'number, address or id'}"
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
            return f"Staff said that this task is {who(entry)}'s, whatever its details say."
        case MatchKind.MATCHED:
            return f"{_first_up(led)} belongs to {who(entry)} and to no other customer."
        case MatchKind.AMBIGUOUS:
            several = f"{count} customers" if count else "several customers"
            return f"{_first_up(led)} leads to {several}, and nothing on the task tells which of them it is."
        case MatchKind.CLAIMED:
            return f"{_first_up(led)} was typed by a visitor. It leads to {who(entry)}; ask before you believe it."
        case MatchKind.NONE:
            return reason_sentence(entry.reason) or MATCHES[MatchKind.NONE].sentence
        case _:
            return reason_sentence(entry.reason) or "Nobody has looked yet."


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
    }.get(str(decision.get("by")), "No rule applied; the default of this installation decided.")
    passed = [f" Passed over: {each.get('rule')} ({each.get('reason')})." for each in decision.get("passed") or ()]
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
            return "Choose who it is"
        case MatchKind.CLAIMED:
            return "Confirm, or say who it is"
        case MatchKind.MATCHED:
            return "Not them?"
        case _:
            return "Say who it is"


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
        return f"It could not be {done} yet.{why} It is tried again until it is."
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
        "trouble": "Anything that did not work",
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
