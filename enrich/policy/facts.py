"""Customers and matches as plain JSON objects, for conditions and texts.

Only a certain match discloses its customer; for any other match there is none, even if details are available.
"""

from __future__ import annotations

from typing import Any

from enrich.domain.matches import Customer, Match, Matched, NoMatch


def customer_facts(match: Match | None, customer: Customer | None) -> dict[str, Any] | None:
    """Return the customer of a certain match, without empty fields; None for any other match.

    customer: its details; None if the store has none: id and name are known from the match.
    """
    if not isinstance(match, Matched):
        return None
    if customer is None:
        return {"id": match.customer_id, "name": match.name}
    facts = {
        "id": customer.id,
        "name": customer.name,
        "company": customer.company,
        "tier": customer.tier,
        "language": customer.language,
        "owner": customer.owner,
        "notes": list(customer.notes),
        "cases": [
            {"id": case.id, "subject": case.subject, "status": case.status, "opened_on": case.opened_on}
            for case in customer.open_cases
        ],
    }
    return {key: value for key, value in facts.items() if value} | {"open_cases": len(customer.open_cases)}


def match_facts(match: Match | None) -> dict[str, Any]:
    """Return the kind of the match with its key and trust, or its reason; empty if no look-up was possible."""
    if match is None:
        return {}
    if isinstance(match, NoMatch):
        return {"kind": str(match.kind), "reason": str(match.reason)}
    return {"kind": str(match.kind), "by": match.key.kind, "trust": str(match.key.trust)}
