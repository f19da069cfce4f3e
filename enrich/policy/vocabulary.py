"""The vocabulary of a policy file: the names that it may use, and hints for others.

Instructions are defined by `enrich.taskrouter` and fields by `enrich.customers`, which this package does not import:
they come in as plain values and functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from enrich.policy.evaluation import Reference
from enrich.policy.problems import Problems

# References begin with one of these. Below `task` and `worker` any name may follow.
ROOTS = ("task", "worker", "customer", "match")
_EXAMPLES = {"task": "channel", "worker": "contact_uri", "customer": "tier", "match": "kind"}
MATCH_FIELDS = ("kind", "by", "trust", "reason")


class Parameter(Protocol):
    """One parameter of an instruction (see `enrich.taskrouter.instructions`).

    read: returns the value in the form of an answer; raises ValueError with what it must be. is_address: it is a URL.
    """

    @property
    def read(self) -> Callable[[Any], Any]: ...

    @property
    def is_required(self) -> bool: ...

    @property
    def is_address(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a policy file may use, as values and functions of the packages that define them.

    instructions: the parameters of each, by name.
    fields: of a customer, in conditions. block_fields, droppable: of the block (customers/block.py).
    attribute: our own key of the task's attributes. foreign: attributes of TaskRouter and Flex, as dotted paths.
    check_key: raises ValueError for an unusable look-up key; takes the attributes that are ours, too.
    check_number: raises ValueError for anything but a phone number.
    """

    instructions: Mapping[str, Mapping[str, Parameter]]
    fields: Collection[str]
    block_fields: Collection[str]
    droppable: Collection[str]
    attribute: str
    foreign: Collection[str]
    check_key: Callable[[str, Collection[str]], object]
    check_number: Callable[[str], object]


def did_you_mean(word: str, words: Collection[str]) -> str:
    """Return the end of a message: "; did you mean 'accept'?", or all the allowed words."""
    similar = get_close_matches(word, words, 1, 0.6)
    return f"; did you mean {similar[0]!r}?" if similar else f"; there are {', '.join(words)}"


def check_reference(where: str, key: str, reference: Reference, vocabulary: Vocabulary, problems: Problems) -> bool:
    """Return whether the reference can ever have a value; otherwise a problem is added."""
    root, *members = reference.path
    if root not in ROOTS:
        hint = f"; did you mean task.{reference.text}?" if not get_close_matches(str(root), ROOTS, 1, 0.7) else ""
        problems.add(where, key, f"{reference.text}: references begin with {', '.join(ROOTS)}{hint}")
        return False
    if not members:
        problems.add(
            where, key, f"{reference.text} is an object; name a member of it, such as {root}.{_EXAMPLES[root]}"
        )
        return False
    fields = {"customer": vocabulary.fields, "match": MATCH_FIELDS}.get(root)
    if fields is not None and members[0] not in fields:
        problems.add(where, key, f"{root} has no {members[0]!r}{did_you_mean(str(members[0]), fields)}")
        return False
    return True
