"""What becomes of a customer's record when staff edit it, or merge two. Pure: records in, records out.

A record is what the ledger captures: texts, `identifiers` as [kind, value, as_written, source], `unlinked` as
[kind, value], `notes`, `cases` as [id, subject, status, opened_on], `settled` and `merged_into`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from enrich.customers.identifiers import FROM_CRM, FROM_STAFF, Identifier
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
    """The record with all of this in place of what it had.

    identifiers: normal form -> as written. What differs from what the CRM said is noted in `settled`, and what of the
    CRM's identifiers is gone, in `unlinked`: the next seed leaves both alone.
    """
    new = {**record, **texts, "notes": list(notes), "cases": [list(case) for case in cases]}
    new["settled"] = _settled(record, new)
    had = {Identifier(kind, value): (as_written, source) for kind, value, as_written, source in record["identifiers"]}
    kept = []
    for key, as_written in identifiers.items():
        before = had.get(key)
        source = before[1] if before and before[0] == as_written else FROM_STAFF
        kept.append([key.kind, key.value, as_written[:MAX_IDENTIFIER_LENGTH], source])
    gone = [[key.kind, key.value] for key, (_, source) in had.items() if source == FROM_CRM and key not in identifiers]
    unlinked = [one for one in record["unlinked"] if Identifier(*one) not in identifiers]
    new["identifiers"] = sorted(kept)
    new["unlinked"] = sorted(unlinked + [one for one in gone if one not in unlinked])
    return new


def merged(kept: Record, gone: Record, *, kept_id: str, gone_id: str) -> tuple[Record, Record]:
    """Both records after the second was merged into the first: the first has everything, the second only its name.

    Where the first knows nothing, it takes what the second knows; where both know something, the first is right. A
    case whose id the first has, too, gets the second's id behind it.
    """
    texts = {name: kept[name] or gone[name] for name in CUSTOMER_TEXTS}
    have = {(kind, value) for kind, value, *_ in kept["identifiers"]}
    # Theirs from now on because staff say so: the CRM would take them away again with the next seed.
    more = [
        [kind, value, as_written, FROM_STAFF]
        for kind, value, as_written, _ in gone["identifiers"]
        if (kind, value) not in have
    ]
    new = {**kept, **texts}
    new["identifiers"] = sorted(kept["identifiers"] + more)
    moved = {(kind, value) for kind, value, *_ in more}
    new["unlinked"] = [one for one in kept["unlinked"] if tuple(one) not in moved]
    new["notes"] = kept["notes"] + [note for note in gone["notes"] if note not in kept["notes"]]
    new["cases"] = kept["cases"] + _other_cases(kept["cases"], gone["cases"], gone_id)
    new["settled"] = _settled(kept, new)
    left = {**gone, "identifiers": [], "notes": [], "cases": [], "merged_into": kept_id}
    return new, left


def _other_cases(have: list[list[str]], more: list[list[str]], gone_id: str) -> list[list[str]]:
    taken = {case[0] for case in have}
    moved = []
    for id_, *rest in more:
        if [id_, *rest] in have:
            continue
        name, number = id_, 1
        while name in taken:
            tail = f" ({gone_id})" if number == 1 else f" ({gone_id}, {number})"
            name, number = id_[: max(1, MAX_CASE_ID_LENGTH - len(tail))] + tail[:MAX_CASE_ID_LENGTH], number + 1
        taken.add(name)
        moved.append([name, *rest])
    return moved


def _settled(record: Record, new: Record) -> dict[str, Any] | None:
    """What the CRM last said wherever the new record says something else; None where it says the same everywhere."""
    before = record["settled"] or {}
    settled = {}
    for name in (*CUSTOMER_TEXTS, "notes", "cases"):
        said = before[name] if name in before else record[name]
        if new[name] != said:
            settled[name] = said
    return settled or None
