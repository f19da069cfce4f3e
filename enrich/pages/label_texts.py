"""Label texts: the words, sentence, tone and icon for each outcome, match, reason, kind, step and activity.

Tables only, one per closed list; `labels.py` chooses among them. `Tone` chooses a colour and `icon` a shape, and the
word always stands beside both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from enrich.customers.identifiers import FROM_CRM, FROM_STAFF
from enrich.customers.projection import FILE
from enrich.domain.deadline import StepName
from enrich.domain.matches import MatchKind, Trust
from enrich.domain.outcomes import ActivityType, EntryKind, FollowupKind, Outcome


class Tone(StrEnum):
    """The tone of a label; each has its own colour."""

    GOOD = "good"
    # Somebody has to look or to decide.
    ASK = "ask"
    # Nothing is wrong, and nothing was found.
    QUIET = "quiet"
    BAD = "bad"
    BUSY = "busy"


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
    Outcome.GONE: Verdict("Task was over", "It had ended before anything could be written to it.", Tone.QUIET, "flag"),
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
# A newer version wrote it, before a roll-back.
UNREADABLE = "This entry cannot be read by this version."
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

# Reasons of errors.py and of domain.matches.NoMatchReason, as the end of a line and as a sentence.
REASONS = {
    "no_such_key": ("no customer has these details", "No customer has any of the details on the task."),
    "withheld": ("number withheld", "The caller's number is withheld, and nothing else identifies them."),
    "unknown_form": ("address of unknown form", "The task has an address whose form is not known, and no other key."),
    "no_key": ("no contact details", "The task has no number, address or id to look up."),
    "set_by_staff": ("set by staff", "Staff decided that the task belongs to none of the customers found."),
    "failed": ("internal error", "An internal error; the log has the details."),
    "settings": ("wrong setting", "A setting of this service is missing or wrong."),
    "policy": ("policy file invalid", "The policy file is invalid; the service does not start with it."),
    "sources_file": ("sources file invalid", "The sources file is invalid."),
    "workspace_file": ("workspace file invalid", "A workspace file is invalid."),
    "plan_refused": ("plan refused", "A planned change of the workspace would do harm and was not applied."),
    "plan_stopped": ("plan stopped", "A planned change of the workspace was interrupted."),
    "fixture_file": ("fixture file invalid", "A file of customer data cannot be read."),
    "source_error": ("source failed", "A source of customers could not be read."),
    "stream_taken": ("loading already", "Another process is loading the same customers."),
    "source_refused": ("source refuses", "The source of customers refused our credentials, or what they may read."),
    "source_unavailable": ("source unavailable", "The source of customers could not be reached, or was too slow."),
    "source_misfit": ("source has changed", "The source of customers is not as the sources file describes it."),
    "lease_lost": ("loading elsewhere", "Another process took over the loading of these customers."),
    "brake_applied": ("too many would go", "More customers would be gone than is usual, so it was stopped."),
    "invalid_signature": ("invalid signature", "The request was not signed by our account."),
    "malformed_payload": ("request unreadable", "The request is signed, but cannot be read."),
    "too_many_sign_ins": ("too many sign-ins", "Too many passwords waited to be checked."),
    "database_error": ("database error", "The database returned an error."),
    "database_locked": ("database locked", "Another writer locked the database for too long."),
    "database_busy": ("overload", "The database had too many writes waiting."),
    "database_unavailable": ("database unreachable", "The database could not be reached."),
    "database_resting": (
        "database unreachable",
        "The database had just failed several times, so it was not asked for a moment.",
    ),
    "database_conflict": ("write conflict", "Another transaction wrote the same rows at the same time."),
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
    "taskrouter_host_unknown": (
        "TaskRouter's host unknown",
        "The name of TaskRouter's host does not exist. An operator has to fix the address or the name server.",
    ),
    "taskrouter_proxy_refused": (
        "proxy refused",
        "The proxy refused to connect to TaskRouter. An operator has to fix the proxy, or HTTPS_PROXY and NO_PROXY.",
    ),
    "taskrouter_tls_failed": (
        "no trusted connection",
        "The certificate at TaskRouter's address was refused, or there is no TLS. An operator has to fix that.",
    ),
    "taskrouter_redirected": (
        "TaskRouter redirected",
        "A redirect came in place of TaskRouter's answer. An operator has to fix the address, or what stands between.",
    ),
    "taskrouter_too_slow": ("TaskRouter too slow", "TaskRouter did not respond in time."),
    "taskrouter_resting": (
        "TaskRouter failing",
        "TaskRouter had just failed several times, so it was not asked for a moment.",
    ),
    "not_understood": ("TaskRouter's answer unreadable", "The response was not one of TaskRouter's."),
    "attributes_unreadable": (
        "attributes unreadable",
        "The task's attributes are not a JSON object, so nothing can be added without damaging them.",
    ),
    "no_room": ("no room on the task", "The task's other attributes leave no room even for the smallest block."),
    # Set by the flows themselves, not by an error.
    "out_of_time": ("out of time", "The callback's time ran out."),
    "database_too_slow": ("database too slow", "The database did not respond in time."),
    "not_recorded": ("not recorded", "The journal could not be written, so only the default answer was sent."),
    "interrupted": (
        "interrupted",
        "The service was stopped, or had no time to record the outcome.",
    ),
    "overload": ("overload", "The service was overloaded, so this was answered without a look-up."),
    "caught_up": ("found afterwards", "It was not recorded when it came, and was read from TaskRouter afterwards."),
    "event_stream": ("by Event Streams", "It came by Event Streams, not by the workspace's event callback."),
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

# The filters of the feed.
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
    StepName.RECEIVE: "Store the receipt",
    StepName.LOOK_UP: "Look up the customer",
    StepName.FETCH: "Fetch the task",
    StepName.WRITE: "Write the attributes",
    StepName.CHANNEL: "Read the task's channel",
    StepName.ACCEPT: "Accept the reservation",
    StepName.INSTRUCT: "Send the instruction",
    StepName.CONCLUDE: "Store the conclusion",
}

FOLLOWUPS = {
    FollowupKind.ENRICH: "Enrich the task late",
    FollowupKind.WARM: "Enrich the task before it is offered",
    FollowupKind.MISSED: "Apply the policy to a missed reservation",
    FollowupKind.HAND_OVER: "Hand over to a new task",
    FollowupKind.WRAP_UP: "Wrap up",
    FollowupKind.COMPLETE: "Complete",
    FollowupKind.FINISHED: "Add the finished task to the customer's history",
    FollowupKind.RESTORE: "Put the overwritten block back",
}

# Our own activities in a task's timeline: a few words, and a sentence.
ACTIVITIES = {
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
    ActivityType.RESTORED: (
        "Block restored",
        "Another program had overwritten the customer's details; they are on the task again.",
    ),
    ActivityType.OVERWRITTEN: (
        "Block left overwritten",
        "Another program keeps overwriting the customer's details, so they are not put back any more.",
    ),
}

# Alarms of policy.timeouts.Alarm, in a few words and as a sentence.
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

SOURCES = {FROM_CRM: "CRM", FROM_STAFF: "staff", FILE: "file"}

# Fields of a customer in the middle of a sentence.
CUSTOMER_FIELDS = {"identifiers": "numbers, addresses or ids"}

# Actions of the audit trail, as the text of a row. {key}: "the phone number +1 ..."; {customer}, {part}: an id;
# {source_change}: "changed name, tier".
CHANGES = {
    "pinned": "identified {customer} as this task's customer",
    "nobody": "decided that it is none of the customers found",
    "released": "withdrew the decision about this task",
    "linked": "linked {key} to {customer}",
    "unlinked": "unlinked {key} from {customer}",
    "created": "created the customer {customer}",
    "edited": "edited {customer}",
    "merged": "merged {part} into {customer}",
    "split": "split {part} off {customer}",
    "deleted": "deleted {customer}",
    "synced": "{source_change}",
    "loaded": "was loaded",
    "undone": "undid a change",
    "enriched": "enriched the task again",
    "replayed": "replayed the callback",
}
