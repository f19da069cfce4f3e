"""The block: the customer data for the agent, under our key in the task attributes, and smaller versions of it.

Pure and deterministic: the same match and customer give the same JSON, without times or random values, so that a
comparison shows whether the block on a task is current. taskrouter/attributes.py picks the version that fits beside
other attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

from enrich.domain.matches import Ambiguous, Candidate, Case, Claimed, Customer, Match, Matched, NoMatch

Block = dict[str, Any]

# In the order of the block, after match, by, trust and customer_id.
FIELDS = ("name", "company", "tier", "language", "owner", "open_cases", "cases", "notes")
# Order in which fields are dropped if the block is too long. `match` and `customer_id` are never dropped.
DROP_ORDER = ("notes", "cases", "owner", "language", "company", "tier", "open_cases", "name", "trust", "by")

# An agent reads this while the phone rings; the page has the rest. With these limits the block takes about 1,200 of the
# 4,096 characters that all writers of a task share (docs/taskrouter.md, "Sizes and counts").
MAX_SHOWN_NOTES = 3
MAX_SHOWN_NOTE_LENGTH = 200
MAX_SHOWN_CASES = 3
MAX_SHOWN_CANDIDATES = 10

_DROPPABLE = frozenset(DROP_ORDER)


@dataclass(frozen=True, slots=True)
class BlockShape:
    """The fields of the block, and the order in which they are dropped.

    fields: of `FIELDS`. drop_order: of `DROP_ORDER`; fields that it does not name are dropped last, in the usual order.
    Raises ValueError for an unknown name.
    """

    fields: frozenset[str] = frozenset(FIELDS)
    drop_order: tuple[str, ...] = DROP_ORDER

    def __post_init__(self) -> None:
        for name in sorted(set(self.fields) - set(FIELDS)):
            raise ValueError(f"{name!r} is not a field of the block; the fields are {', '.join(FIELDS)}")
        for name in self.drop_order:
            if name not in _DROPPABLE:
                raise ValueError(f"{name!r} cannot be dropped from the block; {', '.join(DROP_ORDER)} can")


class Versions(Sequence[Block]):
    """The versions of one block, the largest first.

    Smaller versions are made only when they are read: nearly always the whole block fits. All of them take 45 us and,
    with a card, 95 us; the first takes 4 and 6 us. A whole callback takes some 900 us.
    """

    def __init__(self, versions: Iterator[Block]) -> None:
        self._remaining = versions
        self._created: list[Block] = []

    @overload
    def __getitem__(self, index: int) -> Block: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Block]: ...
    def __getitem__(self, index: int | slice) -> Block | Sequence[Block]:
        if isinstance(index, int) and index >= 0:
            self._created += islice(self._remaining, max(0, index + 1 - len(self._created)))
        else:
            self._created += self._remaining
        return self._created[index]

    def __len__(self) -> int:
        return len(self[:])


def compose(match: Match, customer: Customer | None, shape: BlockShape) -> Sequence[Block]:
    """Return the block and its smaller versions, each shorter than the one before and marked `"trimmed": true`.

    customer: of a Matched; None if the store had no details, in which case the block has those of the match.
    Never empty. The last version has only the kind of match and the customer's id, or the number of candidates.
    """
    if isinstance(match, NoMatch):
        return ({"match": str(match.kind), "reason": str(match.reason)},)
    if isinstance(match, Matched):
        return _shrinking(_matched_versions(match, customer, shape))
    return _shrinking(_candidate_versions(match, shape))


def with_card(blocks: Sequence[Block], token: str) -> Sequence[Block]:
    """Return the versions with the token of the task's card, which is dropped just before the names are.

    Each version is shorter than the one before.
    """

    def versions() -> Iterator[Block]:
        yield blocks[0] | {"card": token}
        last = max([place for place, block in enumerate(blocks) if _has_names(block)], default=0)
        yield from (block | {"card": token} for block in blocks[1 : last + 1])
        yield from (block | {"trimmed": True} for block in blocks[last:])

    return _shrinking(versions())


def _has_names(block: Block) -> bool:
    return "name" in block or any("name" in one for one in block.get("candidates", ()))


def _matched_versions(match: Matched, customer: Customer | None, shape: BlockShape) -> Iterator[Block]:
    block: Block = {
        "match": str(match.kind),
        "by": match.key.kind,
        "trust": str(match.key.trust),
        "customer_id": match.customer_id,
    }
    details = _details(customer or Customer(match.customer_id, match.name))
    if customer is None:
        del details["open_cases"]  # unknown, which is not 0
    block |= {name: details[name] for name in FIELDS if name in shape.fields and name in details}
    yield block
    for name in dict.fromkeys(shape.drop_order + DROP_ORDER):
        if name in block:
            block = {key: value for key, value in block.items() if key != name}
            yield block | {"trimmed": True}


def _details(customer: Customer) -> Block:
    """Return the customer's fields, without empty ones except `open_cases`, where 0 is information."""
    details: Block = {
        "name": customer.name,
        "company": customer.company,
        "tier": customer.tier,
        "language": customer.language,
        "owner": customer.owner,
        "cases": [_case(case) for case in customer.open_cases[:MAX_SHOWN_CASES]],
        "notes": [_shortened(note) for note in customer.notes[:MAX_SHOWN_NOTES]],
    }
    filled = {name: value for name, value in details.items() if value}
    return filled | {"open_cases": len(customer.open_cases)}


def _case(case: Case) -> Block:
    members = {"id": case.id, "subject": case.subject, "status": case.status, "opened_on": case.opened_on}
    return {name: value for name, value in members.items() if value}


def _shortened(note: str) -> str:
    return note if len(note) <= MAX_SHOWN_NOTE_LENGTH else note[: MAX_SHOWN_NOTE_LENGTH - 1].rstrip() + "…"


def _candidate_versions(match: Ambiguous | Claimed, shape: BlockShape) -> Iterator[Block]:
    block: Block = {"match": str(match.kind), "by": match.key.kind}
    if isinstance(match, Claimed):
        block["trust"] = str(match.key.trust)
    count = min(len(match.candidates), MAX_SHOWN_CANDIDATES)
    if "name" in shape.fields:
        yield block | _listed(match.candidates, count, with_names=True)
    else:
        yield block | _listed(match.candidates, count, with_names=False)
    for number in range(count, -1, -1):
        yield block | _listed(match.candidates, number, with_names=False) | {"trimmed": True}


def _listed(candidates: Sequence[Candidate], number: int, *, with_names: bool) -> Block:
    listed: Block = {}
    if number:
        listed["candidates"] = [
            {"customer_id": one.customer_id, "name": one.name} if with_names else {"customer_id": one.customer_id}
            for one in candidates[:number]
        ]
    if number < len(candidates):
        listed["candidates_total"] = len(candidates)
    return listed


def _shrinking(versions: Iterable[Block]) -> Versions:
    """Return the versions shorter than all before: a short field can be shorter than `"trimmed": true`."""

    def shrinking() -> Iterator[Block]:
        last: Block | None = None
        for block in versions:
            # Measuring takes time; a version with a subset of the fields is shorter without it.
            if last is None or block.keys() < last.keys() or _is_shorter(block, last):
                last = block
                yield block

    return Versions(shrinking())


def _is_shorter(block: Block, than: Block) -> bool:
    """Return True if it is shorter in any JSON format, since TaskRouter may reformat it: compact, spaced, escaped."""
    return all(len(write(block)) < len(write(than)) for write in (_compact, json.dumps, _escaped))


def _compact(block: Block) -> str:
    return json.dumps(block, ensure_ascii=False, separators=(",", ":"))


def _escaped(block: Block) -> str:
    return json.dumps(block, separators=(",", ":"))
