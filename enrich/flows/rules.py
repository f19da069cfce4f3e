"""The rules of this installation: the settings, overridden by the policy file, as the flows take them.

The file's tables are read in `enrich.policy`; what they may refer to (instructions, fields, look-up keys) is brought
together here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from enrich import errors
from enrich.customers import block
from enrich.customers.key_rules import KeyRules
from enrich.policy.file import Policy, read_policy
from enrich.policy.vocabulary import Vocabulary
from enrich.taskrouter import attributes, instructions

# The fields of a customer in conditions and texts: those of the block, and the id.
CUSTOMER_FIELDS = ("id", *block.FIELDS)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings and the policy file, as values. attribute: the one key of the task's attributes that is ours.

    card_key: signs the tokens of cards; empty: the block leads to no card.
    """

    attribute: str
    keys: KeyRules
    shape: block.BlockShape
    default_instruction: str
    accept_via: str
    policy: Policy = field(default_factory=Policy)
    card_key: bytes = field(default=b"", repr=False)


def read_file(text: str, name: str, *, attribute: str, region: str) -> Policy:
    """Return the policy in this text. name: the file's, for the error. attribute, region: as in the settings.

    Raises PolicyError naming everything that is wrong, each with its rule or table, its key, and what to do.
    """
    policy, problems = read_policy(text, vocabulary(attribute, region))
    if problems.found:
        raise errors.PolicyError(f"{name}:\n  " + "\n  ".join(str(problem) for problem in problems.found))
    return policy


def vocabulary(attribute: str, region: str) -> Vocabulary:
    """Return what a policy file may refer to."""

    def check_key(word: str, own: Collection[str]) -> None:
        if "," in word:
            raise ValueError(f"{word!r}: each key is a text of its own")
        KeyRules.parse(word, region=region, own_attributes=own)

    return Vocabulary(
        instructions=instructions.TABLE,
        fields=CUSTOMER_FIELDS,
        block_fields=block.FIELDS,
        droppable=block.DROP_ORDER,
        attribute=attribute,
        foreign=attributes.FOREIGN,
        check_key=check_key,
        check_number=lambda number: KeyRules.parse(region=region, own_numbers=(number,)),
    )


def rules_of(
    policy: Policy,
    *,
    attribute: str,
    lookup_keys: str,
    region: str,
    own_numbers: Collection[str],
    claimed_channels: Collection[str],
    default_instruction: str,
    accept_via: str,
    verified_channels: Collection[str] = (),
) -> Rules:
    """Return the rules of these settings and this policy. Raises SettingsError naming the setting that is wrong."""
    context = policy.context
    own = [attribute, *(".".join(projection.path) for projection in context.projections)]
    try:
        keys = KeyRules.parse(
            ", ".join(context.keys) if context.keys is not None else lookup_keys,
            region=region,
            own_numbers=context.own_numbers if context.own_numbers is not None else own_numbers,
            claimed_channels=context.claimed_channels if context.claimed_channels is not None else claimed_channels,
            verified_channels=verified_channels if context.claimed_channels is None else (),
            own_attributes=own,
        )
    except ValueError as exc:
        raise errors.SettingsError(f"ENRICH_LOOKUP_KEYS, ENRICH_DEFAULT_REGION or ENRICH_OWN_NUMBERS: {exc}") from exc
    return Rules(
        attribute=attribute,
        keys=keys,
        shape=block.BlockShape(
            fields=frozenset(context.fields) if context.fields is not None else frozenset(block.FIELDS),
            drop_order=context.drop if context.drop is not None else block.DROP_ORDER,
        ),
        default_instruction=default_instruction,
        accept_via=accept_via,
        policy=policy,
    )
