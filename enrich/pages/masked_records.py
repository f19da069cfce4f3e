"""Journal records as a viewer may see them; the masks themselves are in `enrich.accounts.masking`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.accounts.masking import HIDDEN, key, name, raw_form, raw_json

if TYPE_CHECKING:
    from enrich.journal.records import Entry, KeyFound, LookupFinding
    from enrich.journal.timeline import FullEntry, Timeline

    AnEntry = TypeVar("AnEntry", bound=Entry)


def line(entry: AnEntry) -> AnEntry:
    """An entry as a viewer may see it. What has none of the texts of a full one does not get them."""
    return replace(entry, customer_name=name(entry.customer_name), finding=_finding(entry.finding))


def story(told: Timeline) -> Timeline:
    """A task's story as a viewer may see it."""
    entries = tuple(replace(entry, customer_name=name(entry.customer_name)) for entry in told.entries)
    return replace(told, shown=_full(told.shown), entries=entries)


def _full(entry: FullEntry) -> FullEntry:
    return replace(
        line(entry),
        raw_form=raw_form(entry.raw_form),
        attributes_before=_masked(entry.attributes_before),
        attributes_after=_masked(entry.attributes_after),
        answer=_masked(entry.answer),
        decision=_decision(entry.decision),
    )


def _decision(decision: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Without the rule's condition: it may speak of one customer."""
    return {**decision, "when": HIDDEN} if decision and decision.get("when") else decision


def _masked(stored: str | None) -> str | None:
    return None if stored is None else raw_json(stored)


def _finding(finding: LookupFinding) -> LookupFinding:
    return replace(
        finding,
        keys=tuple(_key(each) for each in finding.keys),
        candidates=tuple(replace(each, name=name(each.name)) for each in finding.candidates),
    )


def _key(found: KeyFound) -> KeyFound:
    return replace(found, value=key(found.kind, found.value))
