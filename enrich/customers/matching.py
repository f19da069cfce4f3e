"""Matching rules: from a task's attributes to look-up keys, and from the candidates to one match.

Pure: no database, no clock. Attributes are untrusted data, a visitor's among them; nothing here raises whatever they
hold. key_rules.py says which attributes are keys, identifiers.py normalises them, block.py composes the block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from enrich.customers import identifiers
from enrich.customers.identifiers import ADDRESS, CLIENT, EMAIL, PHONE, SIP, STAFF, Identifier, Reading
from enrich.customers.key_rules import KeyRules, KeySource
from enrich.customers.spelling import plain_word
from enrich.domain.lengths import MAX_IDENTIFIER_LENGTH
from enrich.domain.matches import (
    MAX_KEYS,
    Ambiguous,
    Candidate,
    Claimed,
    LookupKey,
    LookupKeys,
    Match,
    Matched,
    NoMatch,
    NoMatchReason,
    Trust,
)
from enrich.domain.work_kinds import CALLED, CALLING, OUTBOUND_TO, Work, work_of

# Limit of the store for one key. A number that this many customers share (a head office, a test number) does not
# identify any of them; see `choose`.
MAX_CANDIDATES_PER_KEY = 100

_NOT_CALLERS = CALLED | {OUTBOUND_TO}
# The channel, in the list of verified ones, of work that names none.
_VOICE, _UNNAMED = "voice", "default"

# Of every other kind are ids, whose case counts where two customers differ in it alone.
_WITHOUT_CASE = frozenset({PHONE, EMAIL, CLIENT, SIP, STAFF})

_MAX_INTEGER_BITS = 840  # 253 digits; Python refuses to convert much longer integers to text


def lookup_keys(attributes: Mapping[str, Any], rules: KeyRules, task_sid: str | None = None) -> LookupKeys:
    """Return the look-up keys of a task, in the order of the rules, at most eight.

    attributes: any JSON object. Values that are neither text nor whole numbers, longer than 254 characters, or not of
    their kind are named as unknown. Skipped are addresses of our own: `from` and `caller` of an outbound call
    (`outbound_to`, or a `direction` that begins with "outbound"), else `to` and `called`; a key that the rules name
    with its kind and trust is believed in either direction (docs/matching.md, "Whose address it is"). A key that occurs
    twice counts once, verified if either is.
    One attribute can give several keys, the most exact first: an extension, then its switchboard, which is only
    claimed. So is a number in a SIP address, unless the rules trust the attribute, and, whatever the rules say, a text
    that can be read in two ways (`identifiers.Reading.problem`).
    task_sid: the task, which staff may have assigned to a customer; None without a task. Raises nothing.
    """
    work = work_of(attributes)
    channel_trust = _channel_trust(attributes, work, rules)
    keys: dict[Identifier, LookupKey] = {}
    withheld: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for source in rules.sources:
        value = _value_at(attributes, source.path)
        if value is None or _is_ours(source, work):
            continue
        text = _text_of_key(value)
        readings = () if text is None else identifiers.read(source.kind, text, rules.region)
        if _is_withheld_caller(source, readings, text):
            withheld[source.attribute] = None
        elif text != "" and not any(reading.identifiers for reading in readings):
            unknown[source.attribute] = None
        is_doubtful = any(not reading.identifiers and not reading.is_withheld for reading in readings)
        for reading in readings:
            trust = Trust.CLAIMED if is_doubtful else _trust_of(source, reading, channel_trust)
            for identifier in reading.identifiers:
                if not _is_own_number(identifier, rules):
                    key = LookupKey(identifier.kind, identifier.value, trust, source.attribute, reading.written)
                    _keep(keys, key)
                if identifier.has_extension:
                    trust = Trust.CLAIMED  # the switchboard's number is no evidence for who has another extension
    return LookupKeys(tuple(keys.values())[:MAX_KEYS], tuple(withheld), task_sid, tuple(unknown), rules.region)


def choose(keys: LookupKeys, candidates: Sequence[Candidate]) -> Match:
    """Return the customer that the keys identify, or the reason why there is none.

    candidates: rows as the store returned them, in any order, duplicates allowed.
    Verified keys decide alone: the customers that all of them found remain, or, if there is none, the customers that
    any of them found. Several on equal evidence give Ambiguous; the function never guesses. Claimed keys count only if
    no verified key found a customer, and then even a single customer is only Claimed.
    A decision of staff about this task overrides all evidence.
    Of one number, only the most exact key that found a customer counts. A number that is stored with an extension is
    only claimed by its switchboard's number. Of customers whose ids differ in case alone, the one whose id is written
    as in the attribute counts. A key that `MAX_CANDIDATES_PER_KEY` customers share counts only if no other does.
    Raises nothing.
    """
    decided = _decided_by_staff(keys, candidates)
    if decided is not None:
        return decided
    by_key = _found(keys, candidates)
    for trust in (Trust.VERIFIED, Trust.CLAIMED):
        evidence = _evidence([key for key in by_key if key.trust is trust], by_key)
        if evidence:
            return _conclusion(trust, evidence)
    if keys.keys:
        return NoMatch(NoMatchReason.NO_SUCH_KEY)
    if keys.withheld:
        return NoMatch(NoMatchReason.WITHHELD)
    return NoMatch(NoMatchReason.UNKNOWN_FORM if keys.unknown else NoMatchReason.NO_KEY)


def explain(keys: LookupKeys, candidates: Sequence[Candidate], match: Match) -> dict[str, Any]:
    """Return the journal's `finding`: the number of customers that each key found, and the customers of the match.

    `candidates` of the result: ordered by id, the one matched included, at most `MAX_CANDIDATES_PER_KEY`.
    """
    by_key = _found(keys, candidates)
    decided = _decided_by_staff(keys, candidates)
    all_keys = keys.keys if decided is None else (_staff_key(keys), *keys.keys)
    remaining: Sequence[Matched | Candidate] = ()
    if isinstance(match, Matched):
        remaining = (match,)
    elif not isinstance(match, NoMatch):
        remaining = match.candidates[:MAX_CANDIDATES_PER_KEY]
    return {
        "keys": [
            {
                "kind": key.kind,
                "value": key.value,
                "trust": str(key.trust),
                "attribute": key.attribute,
                "found": _number_found(key, by_key) if key in by_key else int(isinstance(decided, Matched)),
            }
            for key in all_keys
        ],
        "withheld": list(keys.withheld),
        "unknown": list(keys.unknown),
        "candidates": [{"customer_id": one.customer_id, "name": one.name} for one in remaining],
    }


# --- attributes -> keys


def _is_ours(source: KeySource, work: Work) -> bool:
    """Return whether the attribute holds our own address on this work.

    A key with kind and trust says whose address it is, whatever the direction. That cannot be said of `from` beside
    `outbound_to`; and the kind `address` for it means that senders are trusted, not that outbound calls come from them.
    """
    if source.attribute not in work.own_addresses:
        return False
    if source.trust is None:
        return True
    return source.attribute in CALLING and (work.names_called or source.kind == ADDRESS)


def _channel_trust(attributes: Mapping[str, Any], work: Work, rules: KeyRules) -> Trust:
    """Return the trust of keys on the task's channel: claimed if the rules say so, or the channel is not readable."""
    channel = attributes.get("channelType")
    if channel is not None and not isinstance(channel, str):
        return Trust.CLAIMED
    word = plain_word(channel or "")
    if rules.verified_channels is None:
        is_verified = word not in rules.claimed_channels
    else:
        is_verified = (word or (_VOICE if work.is_call else _UNNAMED)) in rules.verified_channels
    return Trust.VERIFIED if is_verified else Trust.CLAIMED


def _trust_of(source: KeySource, reading: Reading, channel_trust: Trust) -> Trust:
    if reading.problem:
        return Trust.CLAIMED
    return source.trust or (Trust.CLAIMED if reading.is_self_declared else channel_trust)


def _value_at(attributes: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return the value at this path; None if there is none."""
    value = attributes.get(path[0])
    for name in path[1:]:
        if not isinstance(value, dict):  # in parsed JSON nothing else has members
            return None
        value = value.get(name)
    return None if value is False or value in ([], {}) else value


def _text_of_key(value: Any) -> str | None:
    """Return a text or an integer as text, without outer spaces; None for what cannot be a key."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_INTEGER_BITS:
        return str(value)
    return value.strip() if isinstance(value, str) and len(value) <= MAX_IDENTIFIER_LENGTH else None


def _is_withheld_caller(source: KeySource, readings: Collection[Reading], text: str | None) -> bool:
    """Return whether a caller withholds the number. An empty form field and a called number do not count."""
    is_caller = source.kind == ADDRESS and source.attribute not in _NOT_CALLERS
    if text is not None and not readings:
        return is_caller
    return (is_caller or source.kind == PHONE) and any(reading.is_withheld for reading in readings)


def _is_own_number(identifier: Identifier, rules: KeyRules) -> bool:
    return identifier.kind == PHONE and identifier.value.partition(";")[0] in rules.own_numbers


def _keep(keys: dict[Identifier, LookupKey], key: LookupKey) -> None:
    """Add the key unless it is there; a verified key replaces a claimed one in its place."""
    identifier = Identifier(key.kind, key.value)
    previous = keys.get(identifier)
    if previous is None or (previous.trust is Trust.CLAIMED and key.trust is Trust.VERIFIED):
        keys[identifier] = key


# --- candidates -> match


def _decided_by_staff(keys: LookupKeys, candidates: Iterable[Candidate]) -> Matched | NoMatch | None:
    """Return the decision of staff about this task; None if there is none."""
    if keys.task_sid is None:
        return None
    decision = next((one for one in candidates if (one.kind, one.value) == (STAFF, keys.task_sid)), None)
    if decision is None:
        return None
    if not decision.customer_id:
        return NoMatch(NoMatchReason.SET_BY_STAFF)
    return Matched(decision.customer_id, decision.name, _staff_key(keys))


def _staff_key(keys: LookupKeys) -> LookupKey:
    return LookupKey(STAFF, keys.task_sid or "", Trust.VERIFIED, "TaskSid")


CandidatesById = dict[str, Candidate]  # as one key found them


def _found(keys: LookupKeys, candidates: Iterable[Candidate]) -> dict[LookupKey, CandidatesById]:
    """Return the candidates of each key, an empty dict if there is none. Independent of their order.

    Of a verified number, the customers whom it finds only in front of an extension are found by a claimed key more.
    """
    by_key: dict[LookupKey, CandidatesById] = {key: {} for key in keys.keys}
    by_identifier = {(key.kind, key.value): by_key[key] for key in keys.keys}
    for candidate in sorted(candidates, key=lambda one: (one.customer_id, one.name)):
        by_id = by_identifier.get((candidate.kind, candidate.value))
        if by_id is not None:
            by_id.setdefault(candidate.customer_id, candidate)
    divided: dict[LookupKey, CandidatesById] = {}
    for key, by_id in by_key.items():
        if key.kind in _WITHOUT_CASE:
            divided |= _without_extensions(key, by_id, keys.region)
        else:
            divided[key] = _as_written(key, by_id)
    return divided


def _as_written(key: LookupKey, by_id: CandidatesById) -> CandidatesById:
    """Return the customers whose id is written as in the attribute; all, if there is none or the store cut them off."""
    if len(by_id) < 2 or len(by_id) >= MAX_CANDIDATES_PER_KEY:
        return by_id
    exact = {
        customer_id: one
        for customer_id, one in by_id.items()
        if identifiers.spelling(key.kind, one.as_written) == key.as_written
    }
    return exact or by_id


def _without_extensions(key: LookupKey, by_id: CandidatesById, region: str) -> dict[LookupKey, CandidatesById]:
    """Return the key with the customers who have exactly this number, and a claimed one with those at an extension.

    If the store cut them off, all are claimed: who has exactly this number is not known then.
    """
    if key.kind != PHONE or key.trust is Trust.CLAIMED or ";ext=" in key.value:
        return {key: by_id}
    extended = {
        customer_id: one for customer_id, one in by_id.items() if identifiers.has_extension(one.as_written, region)
    }
    if not extended:
        return {key: by_id}
    if len(by_id) >= MAX_CANDIDATES_PER_KEY:
        extended = by_id
    certain = {customer_id: one for customer_id, one in by_id.items() if customer_id not in extended}
    return {key: certain, replace(key, trust=Trust.CLAIMED): extended}


def _number_found(key: LookupKey, by_key: Mapping[LookupKey, CandidatesById]) -> int:
    """Return the number of customers that this key by_key, at an extension or not."""
    also_claimed = () if key.trust is Trust.CLAIMED else by_key.get(replace(key, trust=Trust.CLAIMED), ())
    return len(by_key[key]) + len(also_claimed)


def _evidence(keys: Iterable[LookupKey], by_key: Mapping[LookupKey, CandidatesById]) -> dict[LookupKey, CandidatesById]:
    """Return the keys that count, in order, with their candidates: of each number or address the most exact key.

    Keys at the limit of the store count only if there is no other, and then only the first.
    """
    most_exact: dict[tuple[str, str], LookupKey] = {}
    for key in keys:
        if by_key[key]:
            most_exact.setdefault((key.attribute, key.as_written), key)
    evidence = {key: by_key[key] for key in most_exact.values()}
    complete = {key: by_id for key, by_id in evidence.items() if len(by_id) < MAX_CANDIDATES_PER_KEY}
    # The store cuts off candidates at the limit, so the customers that two such keys share cannot be determined.
    return complete or dict(list(evidence.items())[:1])


def _conclusion(trust: Trust, evidence: Mapping[LookupKey, CandidatesById]) -> Match:
    agreed = set.intersection(*(set(candidates_of_key) for candidates_of_key in evidence.values()))
    remaining = agreed or set().union(*evidence.values())
    by_id: dict[str, tuple[LookupKey, Candidate]] = {}
    for key, candidates_of_key in evidence.items():
        for customer_id in remaining & candidates_of_key.keys():
            by_id.setdefault(customer_id, (key, candidates_of_key[customer_id]))
    candidates = tuple(by_id[customer_id][1] for customer_id in sorted(remaining))
    key = next(iter(evidence))
    if trust is Trust.CLAIMED:
        return Claimed(candidates, key)
    if len(candidates) == 1:
        return Matched(candidates[0].customer_id, candidates[0].name, key)
    return Ambiguous(candidates, key)
