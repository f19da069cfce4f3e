"""One look-up, by the rules of the callback: the same keys, the same statement, the same choice, the same block."""

from __future__ import annotations

from dataclasses import replace

from enrich.api.models import LookupAnswer, LookupCandidate
from enrich.customers import block, matching
from enrich.customers.key_rules import KeyRules, KeySource
from enrich.customers.store import CustomerStore, LookUpResult
from enrich.domain.matches import LookupKeys, Match, Matched, NoMatch, Trust
from enrich.flows.rules import Rules
from enrich.resilience.batches import Batches

# As if a task had this one attribute.
_ATTRIBUTE = "key"
# A process works on so many look-ups at once, and the others wait in turn: more would fill the event loop, for which a
# callback waits, too. Fewer would be fewer in a statement: of 64 in flight on PostgreSQL, 1,360 to 1,950 a second with
# 8, and 1,950 to 2,500 with 16.
AT_ONCE = 16

LookUps = Batches[LookupKeys, LookUpResult]


def joint_look_ups(store: CustomerStore) -> LookUps:
    """Return the look-ups of a process: those that come while one is made are made together."""
    return Batches(store.look_up, store.look_up_together, AT_ONCE)


def look_up(kind: str, value: str, trust: Trust, rules: Rules, look_ups: LookUps, store: CustomerStore) -> LookupAnswer:
    """Return the match of this key, as the callback would find it, with the block that a task would get.

    kind: of the key, such as `phone`. value: as it was sent, in any form. trust: the most that the key may have.
    look_ups: those of the process. store: has the details of a matched customer who was not the only candidate.
    Raises DatabaseError if it could not be looked up.
    """
    keys = matching.lookup_keys({_ATTRIBUTE: value}, _rules_of(kind, trust, rules.keys))
    found = look_ups.ask(keys)
    match = matching.choose(keys, found.candidates)
    customer = store.details_of(match, found)
    return _answer(match, block.compose(match, customer, rules.shape)[0])


def _rules_of(kind: str, trust: Trust, rules: KeyRules) -> KeyRules:
    """Return the rules for this one key, with the region and the own numbers of the installation."""
    return replace(rules, sources=(KeySource((_ATTRIBUTE,), kind, trust),))


def _answer(match: Match, composed: block.Block) -> LookupAnswer:
    matched = match if isinstance(match, Matched) else None
    key = None if isinstance(match, NoMatch) else match.key
    return LookupAnswer(
        match=match.kind,
        reason=match.reason if isinstance(match, NoMatch) else None,
        customer_id=matched.customer_id if matched else None,
        name=matched.name if matched and "name" in composed else None,
        by=key.kind if key else None,
        trust=key.trust if key else None,
        candidates=[LookupCandidate(**candidate) for candidate in composed.get("candidates", ())],
        block=composed,
    )
