"""Edits and merges of customer records by staff. Pure: records in, records out.

A record has the form that records.py captures: texts, `identifiers` as [kind, value, as_written, source], `unlinked` as
[kind, value], `notes`, `cases` as [id, subject, status, opened_on], `settled` and `merged_into`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from enrich.customers.identifiers import FROM_CRM, FROM_STAFF, PHONE, Identifier, is_plain_number
from enrich.domain.lengths import CUSTOMER_TEXTS, MAX_CASE_ID_LENGTH, MAX_IDENTIFIER_LENGTH

Record = dict[str, Any]


def edited(
    record: Record,
    *,
    texts: Mapping[str, str],
    identifiers: Mapping[Identifier, str],
    notes: Iterable[str],
    cases: Iterable[list[str]],
) -> Record:
    """Return the record with these values.

    identifiers: normal form -> as written. `settled` records fields that differ from the CRM, and `unlinked` the CRM's
    identifiers that were removed: the next seed keeps both.
    """
    new = {**record, **texts, "notes": list(notes), "cases": [list(case) for case in cases]}
    new["settled"] = _settled(record, new)
    previous = {
        Identifier(kind, value): (as_written, source) for kind, value, as_written, source in record["identifiers"]
    }
    kept = []
    for key, as_written in identifiers.items():
        before = previous.get(key)
        source = before[1] if before and before[0] == as_written else FROM_STAFF
        kept.append([key.kind, key.value, as_written[:MAX_IDENTIFIER_LENGTH], source])
    gone = [
        [key.kind, key.value] for key, (_, source) in previous.items() if source == FROM_CRM and key not in identifiers
    ]
    unlinked = [one for one in record["unlinked"] if Identifier(*one) not in identifiers]
    new["identifiers"] = sorted(kept)
    new["unlinked"] = sorted(unlinked + [one for one in gone if one not in unlinked])
    return new


def merged(kept: Record, gone: Record, *, kept_id: str, gone_id: str) -> tuple[Record, Record]:
    """Return both records after merging the second into the first: the second keeps only its texts.

    An empty text of the first takes the second's; otherwise the first's stays. A case whose id the first has, too, gets
    the second customer's id appended.
    """
    texts = {name: kept[name] or gone[name] for name in CUSTOMER_TEXTS}
    own = [one for one in kept["identifiers"] if not _is_better_known(one, gone["identifiers"])]
    known = {(kind, value) for kind, value, *_ in own}
    # Source staff, because the next seed would remove identifiers of source crm again.
    more = [
        [kind, value, as_written, FROM_STAFF]
        for kind, value, as_written, _ in gone["identifiers"]
        if (kind, value) not in known
    ]
    new = {**kept, **texts}
    new["identifiers"] = sorted(own + more)
    moved = {(kind, value) for kind, value, *_ in more}
    new["unlinked"] = [one for one in kept["unlinked"] if tuple(one) not in moved]
    new["notes"] = kept["notes"] + [note for note in gone["notes"] if note not in kept["notes"]]
    new["cases"] = kept["cases"] + _other_cases(kept["cases"], gone["cases"], gone_id)
    new["settled"] = _settled(kept, new)
    emptied = {**gone, "identifiers": [], "notes": [], "cases": [], "merged_into": kept_id}
    return new, emptied


def _is_better_known(identifier: list[str], others: Iterable[list[str]]) -> bool:
    """Return whether the number, known here in front of an extension only, is one of the others by itself."""
    kind, value, as_written, _ = identifier
    if kind != PHONE or is_plain_number(as_written):
        return False
    return any(other[:2] == [kind, value] and is_plain_number(other[2]) for other in others)


def _other_cases(existing: list[list[str]], more: list[list[str]], gone_id: str) -> list[list[str]]:
    taken = {case[0] for case in existing}
    moved = []
    for id_, *rest in more:
        if [id_, *rest] in existing:
            continue
        name, number = id_, 1
        while name in taken:
            suffix = f" ({gone_id})" if number == 1 else f" ({gone_id}, {number})"
            name, number = id_[: max(1, MAX_CASE_ID_LENGTH - len(suffix))] + suffix[:MAX_CASE_ID_LENGTH], number + 1
        taken.add(name)
        moved.append([name, *rest])
    return moved


def _settled(record: Record, new: Record) -> dict[str, Any] | None:
    """Return the CRM's last values of the fields where the new record differs; None if there is none."""
    before = record["settled"] or {}
    settled = {}
    for name in (*CUSTOMER_TEXTS, "notes", "cases"):
        crm_value = before[name] if name in before else record[name]
        if new[name] != crm_value:
            settled[name] = crm_value
    return settled or None
