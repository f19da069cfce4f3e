"""The callers of the demo: one for every kind of answer that the service has.

The people are those of the built-in fixtures and of the CRM; the numbers are fictional (555-01xx).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUR_NUMBER = "+14155550199"

Arrival = tuple[str, dict[str, Any]]
"""Task channel and attributes."""


@dataclass(frozen=True, slots=True)
class People:
    """The customers of a file of fixtures, by how they can be reached."""

    phones: tuple[str, ...]
    shared_phones: tuple[str, ...]
    emails: tuple[str, ...]
    accounts: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> People:
        customers = json.loads(path.read_text(encoding="utf-8"))["customers"]
        phones = Counter(phone for customer in customers for phone in customer.get("phones", ()))
        return cls(
            phones=tuple(phone for phone, owners in phones.items() if owners == 1),
            shared_phones=tuple(phone for phone, owners in phones.items() if owners > 1),
            emails=tuple(email for customer in customers for email in customer.get("emails", ())),
            accounts=tuple(
                customer["ids"]["account_number"]
                for customer in customers
                if "account_number" in customer.get("ids", {})
            ),
        )


def arrivals(people: People, chance: random.Random) -> Iterator[Arrival]:
    """Work without end: one of each kind first, so that the page soon shows them all, then by chance."""
    kinds = (_call, _shared, _unknown, _withheld, _whatsapp, _email, _chat, _account, _outbound, _sms, _nothing)
    often = (
        _call,
        _call,
        _call,
        _sms,
        _sms,
        _whatsapp,
        _email,
        _account,
        _chat,
        _shared,
        _unknown,
        _outbound,
        _withheld,
    )
    for kind in kinds:
        yield kind(people, chance)
    while True:
        yield chance.choice(often)(people, chance)


def _call(people: People, chance: random.Random) -> Arrival:
    return call(chance.choice(people.phones), chance)


def _shared(people: People, chance: random.Random) -> Arrival:
    return call(chance.choice(people.shared_phones), chance)


def _unknown(people: People, chance: random.Random) -> Arrival:
    return call(f"+1212555{chance.randint(100, 199):04d}", chance)


def _withheld(people: People, chance: random.Random) -> Arrival:
    return call(chance.choice(("anonymous", "+266696687", "Restricted")), chance)


def _whatsapp(people: People, chance: random.Random) -> Arrival:
    phone = chance.choice(people.phones)
    return "chat", {"from": f"whatsapp:{_dialled(phone)}", "channelType": "whatsapp", "name": "WhatsApp visitor"}


def _sms(people: People, chance: random.Random) -> Arrival:
    phone = _dialled(chance.choice(people.phones))
    return "sms", {"from": phone, "to": OUR_NUMBER, "channelType": "sms", "customerAddress": phone}


def _email(people: People, chance: random.Random) -> Arrival:
    return "default", {"channelType": "email", "customerAddress": chance.choice(people.emails), "subject": "A question"}


def _chat(people: People, chance: random.Random) -> Arrival:
    """Create a web chat whose visitor typed the address."""
    return "chat", {"channelType": "web", "email": chance.choice(people.emails), "from": "visitor", "page": "/pricing"}


def _account(people: People, chance: random.Random) -> Arrival:
    return "default", {"type": "callback request", "account_number": chance.choice(people.accounts), "due": "today"}


def _outbound(people: People, chance: random.Random) -> Arrival:
    phone = _dialled(chance.choice(people.phones))
    return "voice", {"direction": "outbound", "from": OUR_NUMBER, "outbound_to": phone, "campaign": "renewals"}


def _nothing(people: People, chance: random.Random) -> Arrival:
    return "default", {"type": "back office", "document": "D-2291", "ratio": 0.1}


def call(caller: str, chance: random.Random) -> Arrival:
    """Return a call, with the attributes that `<Enqueue>` writes."""
    call_sid = f"CA{chance.getrandbits(128):032x}"
    caller = _dialled(caller) if caller[0].isdigit() or caller[0] in "+(" else caller
    return "voice", {
        "from": caller,
        "caller": caller,
        "to": OUR_NUMBER,
        "called": OUR_NUMBER,
        "direction": "inbound",
        "call_sid": call_sid,
        "api_version": "2010-04-01",
        "from_country": "US",
    }


def _dialled(phone: str) -> str:
    """Return the number as a carrier sends it: with its country code, without spaces or extension."""
    number = "".join(character for character in phone.partition(" ext")[0] if character in "+0123456789")
    return number if number.startswith("+") else f"+1{number}"
