"""Customers and journal records as a viewer may see them; the masks themselves are in `enrich.accounts.masking`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.accounts.masking import HIDDEN, key, name, raw_form, raw_json, text
from enrich.domain.lengths import CUSTOMER_TEXTS
from enrich.domain.matches import Interaction
from enrich.policy.timeouts import Alarm
from enrich.telemetry.metrics import EVENT_TYPES

if TYPE_CHECKING:
    from enrich.customers.records import Record
    from enrich.customers.search import FoundCustomer
    from enrich.journal.records import Entry, KeyFound, LookupFinding
    from enrich.journal.timeline import FullEntry, Timeline

    AnEntry = TypeVar("AnEntry", bound=Entry)

# TaskRouter's event types, and the alarms of our own activities.
_WORDS_OF_EVENTS = EVENT_TYPES | frozenset(Alarm)


def line(entry: AnEntry) -> AnEntry:
    """Return an entry as a viewer may see it."""
    return replace(entry, customer_name=name(entry.customer_name), finding=_finding(entry.finding))


def customer(found: FoundCustomer) -> FoundCustomer:
    """Return a customer as a viewer may see them."""
    return replace(
        found,
        name=name(found.name),
        company=text(found.company),
        tier=text(found.tier),
        language=text(found.language),
        owner=text(found.owner),
        phone=key("phone", found.phone),
        email=key("email", found.email) if found.email else "",
    )


def record(stored: Record) -> Record:
    """Return a customer's record as a viewer may see it: with the number of notes and cases, not what they say."""
    texts = {field: text(stored[field]) for field in CUSTOMER_TEXTS}
    return {
        **stored,
        **texts,
        "name": name(stored["name"]),
        "settled": None,
        "identifiers": [
            [kind, key(kind, value), key(kind, as_written), source]
            for kind, value, as_written, source in stored["identifiers"]
        ],
        "unlinked": [[kind, key(kind, value)] for kind, value in stored["unlinked"]],
        "notes": [HIDDEN for _ in stored["notes"]],
        "cases": [
            [text(case_id), _hidden(subject), text(status), text(opened_on)]
            for case_id, subject, status, opened_on in stored["cases"]
        ],
    }


def interaction(finished: Interaction) -> Interaction:
    """Return a finished task as a viewer may see it."""
    return replace(finished, outcome=_hidden(finished.outcome), reason=_hidden(finished.reason))


def story(timeline: Timeline, attribute: str) -> Timeline:
    """Return a task's timeline as a viewer may see it. attribute: the one that holds our block."""
    entries = tuple(replace(entry, customer_name=name(entry.customer_name)) for entry in timeline.entries)
    return replace(timeline, shown=full_entry(timeline.shown, attribute), entries=entries)


def full_entry(entry: FullEntry, attribute: str) -> FullEntry:
    """Return an entry with its texts as a viewer may see them. attribute: the one that holds our block."""
    known = _shown_anyway(entry)

    def masked(stored: str | None) -> str | None:
        return None if stored is None else raw_json(stored, attribute, known)

    return replace(
        line(entry),
        raw_form=raw_form(entry.raw_form, attribute, known | _WORDS_OF_EVENTS),
        attributes_before=masked(entry.attributes_before),
        attributes_after=masked(entry.attributes_after),
        answer=masked(entry.answer),
        decision=_decision(entry.decision),
    )


def _shown_anyway(entry: FullEntry) -> frozenset[str]:
    """Return what the page shows a viewer of this entry besides its texts: worker, customer ids, kinds of keys."""
    finding = entry.finding
    ids = {entry.customer_id or "", *(candidate.customer_id for candidate in finding.candidates)}
    return frozenset({entry.worker_name, *ids, *(key_found.kind for key_found in finding.keys)})


def _decision(decision: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the decision without the rule's condition, which may name one customer."""
    return {**decision, "when": HIDDEN} if decision and decision.get("when") else decision


def _hidden(shown: str) -> str:
    """Return free text about a customer, as a viewer may see it."""
    return HIDDEN if shown else ""


def _finding(finding: LookupFinding) -> LookupFinding:
    return replace(
        finding,
        keys=tuple(_key(key_found) for key_found in finding.keys),
        candidates=tuple(replace(candidate, name=name(candidate.name)) for candidate in finding.candidates),
    )


def _key(key_found: KeyFound) -> KeyFound:
    return replace(key_found, value=key(key_found.kind, key_found.value))
