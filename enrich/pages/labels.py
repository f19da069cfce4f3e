"""Labels: the text for every outcome, reason, kind and step, as staff understand it.

Pure: records in, text out. The texts are in label_texts.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from enrich.customers.audit import AuditAction, AuditEntry
from enrich.customers.identifiers import STAFF
from enrich.domain.deadline import StepName
from enrich.domain.lengths import CUSTOMER_TEXTS
from enrich.domain.matches import MatchKind, NoMatchReason, Trust
from enrich.domain.outcomes import ActivityType, EntryKind, FollowupKind, Outcome
from enrich.journal.contacts import Contact
from enrich.journal.records import Entry, LookupFinding, Summary
from enrich.pages.label_texts import (
    ACTIVITIES,
    ALARMS,
    BROKEN_OFF,
    CHANGES,
    CHANNELS,
    CUSTOMER_FIELDS,
    ENRICHED_LATE,
    EVENT,
    FALLBACK,
    FOLLOWUP_OWED,
    FOLLOWUPS,
    IN_PROGRESS,
    KEYS,
    KINDS,
    MATCHES,
    OUTCOMES,
    REASONS,
    SHORT_KEYS,
    SOURCES,
    STEPS,
    TRUSTS,
    UNKNOWN,
    UNREADABLE,
    Mark,
    Verdict,
)


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
    """Return the reason for the outcome, as the end of a line: "number withheld"; "" if the outcome says it.

    For an entry that cannot be read, that.
    """
    if not entry.is_readable:
        return UNREADABLE
    if entry.reason == NoMatchReason.NO_SUCH_KEY:
        return f"no customer has this {_one_kind(entry.finding) or 'number, address or id'}"
    if entry.reason in (entry.outcome, "interrupted") or entry.outcome == Outcome.GONE:
        return ""  # the verdict says it already
    return short_reason(entry.reason)


def short_reason(slug: str) -> str:
    """Return the reason in a few words; "" for none, the slug as words if it has no text."""
    return REASONS[slug][0] if slug in REASONS else plain(slug)


def reason_sentence(slug: str) -> str:
    """Return the reason as a sentence; "" for none."""
    return REASONS[slug][1] if slug in REASONS else plain(slug)


def customer_label(entry: Entry) -> str:
    """Return the customer's name, or a substitute; never empty.

    Several candidates are named as alternatives; an unknown caller is called by what they came with. Events know
    nobody, and are called by what they are.
    """
    if entry.kind == EntryKind.EVENT:
        return event_label(entry.event_type)
    if entry.customer_name or entry.customer_id:
        return entry.customer_name or f"Customer {entry.customer_id}"
    names = [candidate.name or candidate.customer_id for candidate in entry.finding.candidates]
    if names:
        return " or ".join(names[:2]) + (f" or {len(names) - 2} more" if len(names) > 2 else "")
    if entry.finding.keys:
        return entry.finding.keys[0].value
    if entry.finding.withheld:
        return "Withheld number"
    if entry.finding.unknown:
        return f"Unknown form ({', '.join(entry.finding.unknown[:2])})"
    if not entry.finding.is_readable:
        return "Unreadable entry"
    if entry.outcome == Outcome.MALFORMED:
        return "Unreadable request"
    if entry.match == MatchKind.NONE:
        return "No contact details"
    return "Customer not identified" if entry.outcome == Outcome.GONE else "Not known yet"


def has_customer_name(entry: Entry) -> bool:
    """Return whether `who` returns a customer's name, not a substitute."""
    return bool(entry.customer_name or entry.customer_id)


def evidence(entry: Entry) -> str:
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


def explanation(entry: Entry) -> str:
    """Return the customer and the reason, in one or two sentences."""
    if entry.kind == EntryKind.EVENT:
        return (
            ACTIVITIES[ActivityType(entry.event_type)][1] if entry.event_type in set(ActivityType) else EVENT.sentence
        )
    key = next((key for key in entry.finding.keys if key.kind == entry.by and key.found), None)
    evidence_text = (
        f"the {key_kind(entry.by)} {key.value}" if key else f"the {key_kind(entry.by)}" if entry.by else "the look-up"
    )
    count = len(entry.finding.candidates)
    match entry.match:
        case MatchKind.MATCHED if entry.by == STAFF:
            return f"Staff identified {customer_label(entry)} as this task's customer."
        case MatchKind.MATCHED:
            return f"{_first_up(evidence_text)} belongs to {customer_label(entry)} and to no other customer."
        case MatchKind.AMBIGUOUS:
            several = f"{count} customers" if count else "several customers"
            return f"{_first_up(evidence_text)} matches {several}, and nothing on the task tells which one."
        case MatchKind.CLAIMED:
            return (
                f"{_first_up(evidence_text)} was typed by a visitor. It matches {customer_label(entry)}; verify first."
            )
        case MatchKind.NONE:
            return reason_sentence(entry.reason) or MATCHES[MatchKind.NONE].sentence
        case _:
            return reason_sentence(entry.reason) or "Not looked up yet."


def overwritten(times: int) -> str:
    """Return the sentence on a block that was put back this often, at least once."""
    how_often = "once" if times == 1 else f"{times} times"
    return f"Another program has overwritten the attributes. The customer's details were put back {how_often}."


def is_own_activity(event_type: str) -> bool:
    """Return whether the event type is an activity of ours."""
    return event_type in set(ActivityType)


def decision_source(decision: Mapping[str, Any] | None) -> str:
    """Return the source of the answer in one line: "Rule “Gold” decided, since …"; "" without a policy.

    decision: as the journal keeps it (decision.Decision). Rules that were skipped are named, too.
    """
    if not decision:
        return ""
    name, when = decision.get("name") or "", decision.get("when") or ""
    line = {
        "rule": f"Rule “{name}” decided" + (f", since {when}." if when else "; it always applies."),
        "channel": f"No rule applied; the default for the channel {name} decided.",
    }.get(str(decision.get("by")), "No rule applied; the default instruction decided.")
    skipped = [f" Skipped: {rule.get('rule')} ({rule.get('reason')})." for rule in decision.get("passed") or ()]
    return line + "".join(skipped)


def event_label(event_type: str) -> str:
    """Return the label of an event: TaskRouter's own by their type, ours in words."""
    return ACTIVITIES[ActivityType(event_type)][0] if event_type in set(ActivityType) else event_type or EVENT.word


def alarm(slug: str) -> str:
    """Return an alarm as a sentence; "" for none."""
    return ALARMS[slug][1] if slug in ALARMS else plain(slug)


def identify_label(entry: Entry) -> str:
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


def change(entry: AuditEntry, trail: Iterable[AuditEntry] = ()) -> str:
    """Return the text of one row of the audit trail. trail: the others, to name the change that was undone."""
    if not entry.is_readable or entry.action not in CHANGES:
        return f"{plain(entry.action)}: {UNREADABLE}"
    if entry.undoes is not None:
        return _undoing(entry, {one.id: one for one in trail})
    key = next((_key_label(key) for key in entry.after["keys"]), "")
    return CHANGES[entry.action].format(
        key=key or "the details",
        customer=entry.customer_id or "",
        part=_part(entry),
        source_change=_source_change(entry),
    )


def _undoing(entry: AuditEntry, trail: Mapping[int, AuditEntry]) -> str:
    """Return the text of an undo: "undid: merged C-2 into C-1", or of an undo that was undone, "did again: ..."."""
    is_undone, origin = False, entry
    while origin.undoes is not None:
        if origin.undoes not in trail:  # older than the rows that are shown
            return CHANGES[AuditAction.UNDONE]
        is_undone, origin = not is_undone, trail[origin.undoes]
    return f"{'undid' if is_undone else 'did again'}: {change(origin)}"


def _part(entry: AuditEntry) -> str:
    """Return the customer that became, or ceased to be, part of another one."""
    before, after = entry.before["customers"], entry.after["customers"]
    parts: list[str] = [
        one
        for one, record in after.items()
        if record and before.get(one) and bool(record["merged_into"]) != bool(before[one]["merged_into"])
    ]
    if len(parts) == 1:
        return parts[0]
    return "a part" if entry.action == AuditAction.SPLIT else "another customer"


def _source_change(entry: AuditEntry) -> str:
    """Return what a source changed about a customer, as the text of a row: "changed name, tier"."""
    changed = entry.changed
    if "is_gone" in changed:
        return "no longer has this customer" if changed["is_gone"][1] else "has this customer again"
    if "merged_into" in changed:
        into = changed["merged_into"][1]
        return f"made this customer part of {into}" if into else "made this a customer of its own again"
    text = "changed " + (", ".join(CUSTOMER_FIELDS.get(name, plain(name)) for name in changed) or "nothing")
    return f"{text}, in place of what staff wrote in {', '.join(entry.gave_way)}" if entry.gave_way else text


def text_changes(entry: AuditEntry) -> list[tuple[str, str, str]]:
    """Return the texts that a source changed, each by its name, before and after."""
    return [
        (name, before, after)
        for name, (before, after) in entry.changed.items()
        if name in CUSTOMER_TEXTS and isinstance(before, str) and isinstance(after, str)
    ]


def identifier_changes(entry: AuditEntry) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the identifiers, as kind and value, that a source took away and added."""
    was, is_ = map(_kinds_and_values, entry.changed.get("identifiers", ((), ())))
    return [one for one in was if one not in is_], [one for one in is_ if one not in was]


def _kinds_and_values(listed: object) -> list[tuple[str, str]]:
    """Return identifiers as the trail has them; none of a form that this version does not know."""
    rows = listed if isinstance(listed, list) else []
    return [
        (one[0], one[1])
        for one in rows
        if isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one)
    ]


def _key_label(key: Mapping[str, Any]) -> str:
    return f"the {key_kind(key['kind'])} {key['value']}"


def channel(name: str) -> str:
    """Return the label of a channel: "WhatsApp", "Voice"."""
    return CHANNELS.get(name) or _first_up(plain(name))


def request_result(kind: FollowupKind, reason: str, *, is_over: bool) -> str:
    """Return the outcome of a request to wrap up or complete a task, as text.

    reason: why it failed; "" if it did not.
    """
    done = "wrapped up" if kind is FollowupKind.WRAP_UP else "completed"
    if not is_over:
        cause = f" {reason_sentence(reason)}" if reason else ""
        return f"It could not be {done} yet.{cause} It is retried until it is done."
    return f"It was not {done}. {reason_sentence(reason)}" if reason else f"It is {done}."


def key_kind(kind: str) -> str:
    """Return the label of a kind of look-up key: "phone number", "account number"."""
    return KEYS.get(kind) or plain(kind)


def source(name: str) -> str:
    """Return the label of an identifier's source."""
    return SOURCES.get(name) or plain(name)


def step(name: str) -> str:
    """Return the label of a step."""
    return STEPS[StepName(name)] if name in set(StepName) else _first_up(plain(name))


def followup(kind: str) -> str:
    return FOLLOWUPS[FollowupKind(kind)] if kind in set(FollowupKind) else _first_up(plain(kind))


def is_known_followup(kind: str) -> bool:
    """Return whether the workers of this version run follow-ups of this kind."""
    return kind in set(FollowupKind)


def kind(name: str) -> str:
    return KINDS[EntryKind(name)] if name in set(EntryKind) else plain(name)


def plain(slug: str) -> str:
    """Return a slug as words, for a value without a text of its own."""
    return slug.replace("_", " ").replace(".", " ")


def outcome_choices() -> dict[str, str]:
    """Return the outcomes that the feed can be filtered by, with their labels."""
    return {
        "trouble": "All errors",
        "late": ENRICHED_LATE.word,
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


def mark_legend() -> Iterable[Mark]:
    """Return the badges that may stand beside them."""
    return (FOLLOWUP_OWED, ENRICHED_LATE, FALLBACK)


def _one_kind(finding: LookupFinding) -> str:
    kinds = {key.kind for key in finding.keys}
    return key_kind(kinds.pop()) if len(kinds) == 1 else ""


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
