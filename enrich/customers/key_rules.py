"""Key rules: the attributes that hold look-up keys, in order, with kind and trust, as the settings name them.

Pure. matching.py applies them to a task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import phonenumbers

from enrich.customers import identifiers
from enrich.customers.identifiers import ADDRESS, EMAIL, PHONE, STAFF
from enrich.customers.spelling import plain_word
from enrich.domain.lengths import MAX_IDENTIFIER_KIND_LENGTH
from enrich.domain.matches import DEFAULT_CLAIMED_CHANNELS, DEFAULT_LOOKUP_KEYS, DEFAULT_REGION, Trust
from enrich.domain.work_kinds import CALLED, CALLING, OUTBOUND_TO

_ADDRESSES = CALLING | CALLED | {OUTBOUND_TO, "customerAddress"}


@dataclass(frozen=True, slots=True)
class KeySource:
    """One attribute to read a key from.

    path: its name, or the names that lead to a nested one. kind: as in `identifiers.normalise`.
    trust: None means that it depends on the channel.
    """

    path: tuple[str, ...]
    kind: str
    trust: Trust | None = None

    @property
    def attribute(self) -> str:
        """Return the attribute's dotted path."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class KeyRules:
    """The keys to look up, in order, and their trust; made by `parse`.

    region: of national phone numbers. own_numbers: normal forms of the company's own numbers, which identify nobody.
    claimed_channels: values of `channelType`, as plain words, on which every key is only claimed.
    verified_channels: those on which keys are verified, and then on no other; None: all that are not claimed.
    """

    sources: tuple[KeySource, ...]
    region: str = DEFAULT_REGION
    own_numbers: frozenset[str] = field(default=frozenset())
    claimed_channels: frozenset[str] = frozenset(DEFAULT_CLAIMED_CHANNELS)
    verified_channels: frozenset[str] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of ids that are looked up."""
        return tuple(dict.fromkeys(source.kind for source in self.sources))

    @classmethod
    def parse(
        cls,
        spec: str = DEFAULT_LOOKUP_KEYS,
        *,
        region: str = DEFAULT_REGION,
        own_numbers: Iterable[str] = (),
        claimed_channels: Iterable[str] = DEFAULT_CLAIMED_CHANNELS,
        verified_channels: Iterable[str] = (),
        own_attributes: Collection[str] = (),
    ) -> KeyRules:
        """Parse the rules from settings.

        spec: `attribute[:kind[:trust]]`, separated by commas, such as "customer_id, from, pre.email:email:claimed".
        Dots lead into nested attributes. By default, the kind is that of a well-known name (`from`: address,
        `phone...`, `email...`), else the last name itself, and the trust, `verified` or `claimed`, is the channel's.
        own_numbers: as written. own_attributes: dotted paths that the service itself writes (block, projections), which
        cannot be evidence. verified_channels: if there are any, they are listed instead of the claimed ones. Raises
        ValueError with the wrong word in its message.
        """
        region = region.strip().upper()
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{region!r} is not a region such as US or DE (two letters, ISO 3166)")
        words = [word.strip() for word in spec.split(",") if word.strip()]
        if not words:
            raise ValueError("no look-up key is given; at least one attribute is needed, such as 'from'")
        return cls(
            sources=tuple(_key_source(word, own_attributes) for word in words),
            region=region,
            own_numbers=frozenset(one for number in own_numbers for one in _own_numbers(number, region)),
            claimed_channels=frozenset(plain_word(channel) for channel in claimed_channels),
            verified_channels=frozenset(plain_word(channel) for channel in verified_channels) or None,
        )


def _key_source(word: str, own_attributes: Collection[str]) -> KeySource:
    attribute, *rest = (part.strip() for part in word.split(":"))
    path = tuple(attribute.split("."))
    if len(rest) > 2 or not all(path) or not all(rest):
        raise ValueError(f"{word!r} is not of the form attribute, attribute:kind or attribute:kind:trust")
    if any(attribute == own or attribute.startswith(f"{own}.") for own in own_attributes):
        raise ValueError(f"{word!r} is written by this service itself, so it cannot identify a customer")
    kind = rest[0] if rest else _usual_kind(path[-1])
    if kind == STAFF:
        raise ValueError(f"{word!r}: the kind {STAFF!r} is reserved; use another name")
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


def _own_numbers(written: str, region: str) -> list[str]:
    normal_forms = identifiers.normalise(ADDRESS, written, region)
    numbers = [one.value for one in normal_forms if one.kind == PHONE and not one.has_extension]
    if not numbers:
        raise ValueError(f"{written!r} is not a phone number")
    return numbers
