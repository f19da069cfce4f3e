"""Who is it? From a task's attributes to look-up keys, and from what the store found to one choice.

Pure rules: no database, no clock. The attributes are data that others wrote, a visitor's among them; whatever they
hold, nothing here raises. What a key's text means is decided in identifiers.py, what the block says in context.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import phonenumbers

from enrich.customers import identifiers
from enrich.customers.identifiers import ADDRESS, EMAIL, PHONE, STAFF, Identifier
from enrich.domain.lengths import MAX_IDENTIFIER_KIND_LENGTH, MAX_IDENTIFIER_LENGTH
from enrich.domain.matches import (
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

# The order of the questions: our own ids first, then whoever is at the other end, then what somebody typed.
DEFAULT_SPEC = "customer_id, account_number, outbound_to, to, from, caller, customerAddress, phone, email"
DEFAULT_REGION = "US"
# On web chat the attributes come from the visitor's own form (design, "Not trusted because it is there").
DEFAULT_CLAIMED_CHANNELS = frozenset({"web", "webchat", "chat"})

# Eight questions are more than any real task asks; without a limit one task could ask thousands.
MOST_KEYS = 8
# What the store returns for one key. A number that this many customers share (a head office, a test number) tells
# nothing about which of them is calling; see `choose`.
MOST_PER_KEY = 100

# Whose address an attribute holds depends on who called whom. `customerAddress` is the customer's in both directions.
_CALLING = frozenset({"from", "caller"})
_CALLED = frozenset({"to", "called", "outbound_to"})
_ADDRESSES = _CALLING | _CALLED | {"customerAddress"}

_MAX_INTEGER_BITS = 840  # of an integer with 253 digits; turning a much longer one into text is refused by Python


@dataclass(frozen=True, slots=True)
class KeySource:
    """One attribute to take a key from.

    path: its name, or the names on the way to a nested one. kind: as in `identifiers.normalise`.
    trust: None means that the channel decides.
    """

    path: tuple[str, ...]
    kind: str
    trust: Trust | None = None

    @property
    def attribute(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What is looked up, in which order, and how far it is believed. Plain values; made by `parse`.

    region: of national phone numbers. own_numbers: normal forms of the company's own, which identify nobody.
    claimed_channels: values of `channelType`, as plain words, on which every key is only claimed.
    """

    sources: tuple[KeySource, ...]
    region: str = DEFAULT_REGION
    own_numbers: frozenset[str] = field(default=frozenset())
    claimed_channels: frozenset[str] = DEFAULT_CLAIMED_CHANNELS

    @classmethod
    def parse(
        cls,
        spec: str = DEFAULT_SPEC,
        *,
        region: str = DEFAULT_REGION,
        own_numbers: Iterable[str] = (),
        claimed_channels: Iterable[str] = DEFAULT_CLAIMED_CHANNELS,
        own_attributes: Collection[str] = (),
    ) -> KeyRules:
        """The rules that these settings mean.

        spec: `attribute[:kind[:trust]]`, separated by commas, such as "customer_id, from, pre.email:email:claimed".
        Dots lead into nested attributes. The kind is by default that of a well-known name (`from`: address,
        `phone...`, `email...`), else the last name itself; the trust, `verified` or `claimed`, is the channel's.
        own_numbers: as written. own_attributes: dotted paths that we write (our block, our projections): what we found
        out once must not prove itself. Raises ValueError; the message names the word that is wrong.
        """
        region = region.strip().upper()
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{region!r} is not a region such as US or DE (two letters, ISO 3166)")
        words = [word.strip() for word in spec.split(",") if word.strip()]
        if not words:
            raise ValueError("no look-up key is named; at least one attribute is needed, such as 'from'")
        return cls(
            sources=tuple(_key_source(word, own_attributes) for word in words),
            region=region,
            own_numbers=frozenset(_own_number(number, region) for number in own_numbers),
            claimed_channels=frozenset(identifiers.plain_word(channel) for channel in claimed_channels),
        )


def lookup_keys(attributes: Mapping[str, Any], rules: KeyRules, task_sid: str | None = None) -> LookupKeys:
    """What this task can be looked up by, in the order of the rules, at most eight; and which attributes hide a caller.

    task_sid: of the task, which staff may have settled; None where no task is asked about.
    attributes: any JSON object. Values that are neither text nor integers, longer than 254 characters, or nothing that
    their kind could be are passed over. When we call out (`direction` begins with "outbound"), `from` and `caller` are
    ourselves; otherwise `to`, `called` and `outbound_to` are. The same key twice counts once, verified if either is.
    One attribute can give several keys, the most exact first: an extension, then its switchboard, which is merely
    claimed. So is a number that a SIP user gives as their own, unless the rules trust that attribute. Raises nothing.
    """
    outbound = _text_of(attributes.get("direction")).casefold().startswith("outbound")
    ourselves = _CALLING if outbound else _CALLED
    channel_trust = _channel_trust(attributes, rules)
    keys: dict[Identifier, LookupKey] = {}
    withheld: list[str] = []
    for source in rules.sources:
        text = _value_at(attributes, source.path)
        if text is None or source.attribute in ourselves:
            continue
        if _hides_a_caller(source, text):
            withheld.append(source.attribute)
            continue
        trust = source.trust or (Trust.CLAIMED if _is_told_by_the_caller(source, text) else channel_trust)
        for identifier in identifiers.normalise(source.kind, text, rules.region):
            if not _is_own_number(identifier, rules):
                _keep(keys, LookupKey(identifier.kind, identifier.value, trust, source.attribute))
            if _has_extension(identifier):
                trust = Trust.CLAIMED  # the switchboard's number does not vouch for who is at another extension
    return LookupKeys(tuple(keys.values())[:MOST_KEYS], tuple(dict.fromkeys(withheld)), task_sid)


def choose(keys: LookupKeys, candidates: Sequence[Candidate]) -> Match:
    """The customer these keys point to, or why there is none.

    candidates: rows as the store returned them, any order, duplicates allowed.
    Verified keys decide alone. Each that found somebody narrows the circle; if they name different customers, all of
    those are candidates. Several left on equal evidence give Ambiguous: we never guess. Only if no verified key found
    anybody do claimed keys count, and then even a single customer is merely Claimed.
    What staff have said of this very task stands above all evidence.
    Of one attribute the most exact key that found somebody counts, and a key that `MOST_PER_KEY` customers share counts
    only where nothing better did. Raises nothing. Source: design, section 4, "Not trusted because it is there".
    """
    said = _said_by_staff(keys, candidates)
    if said is not None:
        return said
    found = _found(keys, candidates)
    for trust in (Trust.VERIFIED, Trust.CLAIMED):
        evidence = _evidence([key for key in keys.keys if key.trust is trust], found)
        if evidence:
            return _conclusion(trust, evidence)
    if keys.keys:
        return NoMatch(NoMatchReason.NO_SUCH_KEY)
    return NoMatch(NoMatchReason.WITHHELD if keys.withheld else NoMatchReason.NO_KEY)


def explain(keys: LookupKeys, candidates: Sequence[Candidate], match: Match) -> dict[str, Any]:
    """How the choice came about, for the journal's `finding`: what each key found, and who remained.

    `candidates` are the customers of the match, the one matched included, by id; at most `MOST_PER_KEY` of them.
    """
    found = _found(keys, candidates)
    said = _said_by_staff(keys, candidates)
    asked = keys.keys if said is None else (_staff_key(keys), *keys.keys)
    remaining: Sequence[Matched | Candidate] = ()
    if isinstance(match, Matched):
        remaining = (match,)
    elif not isinstance(match, NoMatch):
        remaining = match.candidates[:MOST_PER_KEY]
    return {
        "keys": [
            {
                "kind": key.kind,
                "value": key.value,
                "trust": str(key.trust),
                "attribute": key.attribute,
                "found": len(found[key]) if key in found else int(isinstance(said, Matched)),
            }
            for key in asked
        ],
        "withheld": list(keys.withheld),
        "candidates": [{"customer_id": one.customer_id, "name": one.name} for one in remaining],
    }


# --- settings -> rules


def _key_source(word: str, own_attributes: Collection[str]) -> KeySource:
    attribute, *rest = (part.strip() for part in word.split(":"))
    path = tuple(attribute.split("."))
    if len(rest) > 2 or not all(path) or not all(rest):
        raise ValueError(f"{word!r} is not of the form attribute, attribute:kind or attribute:kind:trust")
    if any(attribute == own or attribute.startswith(f"{own}.") for own in own_attributes):
        raise ValueError(f"{word!r} is an attribute that we write ourselves; it cannot identify anybody")
    kind = rest[0] if rest else _usual_kind(path[-1])
    if kind == STAFF:
        raise ValueError(f"{word!r}: {STAFF!r} is what tasks are settled by; give the kind another name")
    if len(kind) > MAX_IDENTIFIER_KIND_LENGTH:
        raise ValueError(f"{word!r}: a kind has at most {MAX_IDENTIFIER_KIND_LENGTH} characters")
    return KeySource(path, kind, _trust(word, rest[1]) if len(rest) == 2 else None)


def _usual_kind(name: str) -> str:
    if name in _ADDRESSES:
        return ADDRESS
    return next((kind for kind in (PHONE, EMAIL) if name.lower().startswith(kind)), name)


def _trust(word: str, trust: str) -> Trust:
    try:
        return Trust(trust)
    except ValueError:
        raise ValueError(f"{word!r}: {trust!r} is neither verified nor claimed") from None


def _own_number(number: str, region: str) -> str:
    found = identifiers.address_identifiers(number, region)
    if not found or found[-1].kind != PHONE:
        raise ValueError(f"{number!r} is not a phone number that could be ours")
    return found[-1].value


# --- attributes -> keys


def _channel_trust(attributes: Mapping[str, Any], rules: KeyRules) -> Trust:
    """What the channel is worth. One that is named in a way nobody can read is worth nothing."""
    channel = attributes.get("channelType")
    is_readable = channel is None or isinstance(channel, str)
    is_claimed = not is_readable or identifiers.plain_word(channel or "") in rules.claimed_channels
    return Trust.CLAIMED if is_claimed else Trust.VERIFIED


def _is_told_by_the_caller(source: KeySource, text: str) -> bool:
    return source.kind == ADDRESS and identifiers.is_told_by_the_caller(text)


def _has_extension(identifier: Identifier) -> bool:
    return identifier.kind == PHONE and ";ext=" in identifier.value


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _value_at(attributes: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    """The text or integer there, as text; None where there is none that could be a key."""
    value = attributes.get(path[0])
    for name in path[1:]:
        if not isinstance(value, dict):  # of parsed JSON nothing else has members
            return None
        value = value.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_INTEGER_BITS:
        return str(value)
    return value if isinstance(value, str) and len(value) <= MAX_IDENTIFIER_LENGTH else None


def _hides_a_caller(source: KeySource, text: str) -> bool:
    """Whether this is a caller who hides. An empty field of a form is none, and nor is a number that we call."""
    if source.kind == PHONE:
        return bool(text.strip()) and identifiers.is_withheld(text)
    return source.kind == ADDRESS and source.attribute not in _CALLED and identifiers.is_withheld(text)


def _is_own_number(identifier: Identifier, rules: KeyRules) -> bool:
    return identifier.kind == PHONE and identifier.value.partition(";")[0] in rules.own_numbers


def _keep(keys: dict[Identifier, LookupKey], key: LookupKey) -> None:
    """The first of its kind and value, in its place; a verified one takes the place of a claimed one."""
    identifier = Identifier(key.kind, key.value)
    kept = keys.get(identifier)
    if kept is None or (kept.trust is Trust.CLAIMED and key.trust is Trust.VERIFIED):
        keys[identifier] = key


# --- candidates -> match


def _said_by_staff(keys: LookupKeys, candidates: Iterable[Candidate]) -> Matched | NoMatch | None:
    """Whose staff have said that this task is; None where they have said nothing."""
    if keys.task_sid is None:
        return None
    said = next((one for one in candidates if (one.kind, one.value) == (STAFF, keys.task_sid)), None)
    if said is None:
        return None
    if not said.customer_id:
        return NoMatch(NoMatchReason.SET_BY_STAFF)
    return Matched(said.customer_id, said.name, _staff_key(keys))


def _staff_key(keys: LookupKeys) -> LookupKey:
    return LookupKey(STAFF, keys.task_sid or "", Trust.VERIFIED, "TaskSid")


Circle = dict[str, Candidate]  # customers by id, as one key found them


def _found(keys: LookupKeys, candidates: Iterable[Candidate]) -> dict[LookupKey, Circle]:
    """What each key found; an empty circle for nobody. The order of the candidates does not show."""
    found: dict[LookupKey, Circle] = {key: {} for key in keys.keys}
    by_identifier = {(key.kind, key.value): found[key] for key in keys.keys}
    for candidate in sorted(candidates, key=lambda one: (one.customer_id, one.name)):
        circle = by_identifier.get((candidate.kind, candidate.value))
        if circle is not None:
            circle.setdefault(candidate.customer_id, candidate)
    return found


def _evidence(keys: Iterable[LookupKey], found: Mapping[LookupKey, Circle]) -> dict[LookupKey, Circle]:
    """The circles that count, in the order of the keys: of each attribute the most exact; crowds only by themselves."""
    first: dict[str, LookupKey] = {}
    for key in keys:
        if found[key]:
            first.setdefault(key.attribute, key)
    circles = {key: found[key] for key in first.values()}
    few = {key: circle for key, circle in circles.items() if len(circle) < MOST_PER_KEY}
    # Of a crowd only a part is known: what two crowds have in common cannot be told from their parts.
    return few or dict(list(circles.items())[:1])


def _conclusion(trust: Trust, evidence: Mapping[LookupKey, Circle]) -> Match:
    agreed = set.intersection(*(set(circle) for circle in evidence.values()))
    remaining = agreed or set().union(*evidence.values())
    by_id: dict[str, tuple[LookupKey, Candidate]] = {}
    for key, circle in evidence.items():
        for customer_id in remaining & circle.keys():
            by_id.setdefault(customer_id, (key, circle[customer_id]))
    candidates = tuple(by_id[customer_id][1] for customer_id in sorted(remaining))
    key = next(iter(evidence))
    if trust is Trust.CLAIMED:
        return Claimed(candidates, key)
    if len(candidates) == 1:
        return Matched(candidates[0].customer_id, candidates[0].name, key)
    return Ambiguous(candidates, key)
