"""The names that a policy file may use, and hints for those that it may not.

The file is read here, but instructions are TaskRouter's and fields the customers': what they know comes in as plain
values and functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from enrich.policy.evaluation import Reference
from enrich.policy.problems import Problems

# What conditions are about; below `task` and `worker` anything may stand.
ROOTS = ("task", "worker", "customer", "match")
_EXAMPLES = {"task": "channel", "worker": "contact_uri", "customer": "tier", "match": "kind"}
MATCH_FIELDS = ("kind", "by", "trust", "reason")


class Parameter(Protocol):
    """One parameter of an instruction, as TaskRouter's side describes it (`enrich.taskrouter.instructions`).

    read: returns the value as an answer holds it; raises ValueError saying what it must be. is_address: a URL.
    """

    @property
    def read(self) -> Callable[[Any], Any]: ...

    @property
    def is_required(self) -> bool: ...

    @property
    def is_address(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Known:
    """The names that a policy file may use: plain values and functions of the subjects that define them.

    instructions: their parameters by name.
    fields: of a customer, as conditions see them. block_fields, droppable: those of the block (customers/context.py).
    attribute: the one that is ours. foreign: attributes that belong to TaskRouter and Flex, as dotted paths.
    check_key, check_number: raise ValueError for what cannot be looked up by, given the attributes that are ours, and
    for what is no number of ours.
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
    """Return the end of a message: "; did you mean 'accept'?", or all the words there are."""
    close = get_close_matches(word, words, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(words)}"


def check_reference(where: str, key: str, reference: Reference, known: Known, problems: Problems) -> bool:
    """Return whether the reference can ever have a value; otherwise a problem is added."""
    root, *rest = reference.path
    if root not in ROOTS:
        hint = f"; did you mean task.{reference.text}?" if not get_close_matches(str(root), ROOTS, 1, 0.7) else ""
        problems.add(where, key, f"{reference.text}: references begin with {', '.join(ROOTS)}{hint}")
        return False
    if not rest:
        problems.add(where, key, f"{reference.text} is a whole; name something in it, such as {root}.{_EXAMPLES[root]}")
        return False
    closed = {"customer": known.fields, "match": MATCH_FIELDS}.get(root)
    if closed is not None and rest[0] not in closed:
        problems.add(where, key, f"{root} has no {rest[0]!r}{did_you_mean(str(rest[0]), closed)}")
        return False
    return True
