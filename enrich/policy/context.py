"""The `[context]` table: what of a customer is written to the task, and by which keys customers are looked up.

    fields = ["name", "tier"]               of a customer, in the block
    drop = ["notes", "cases"]               fields that are left out first if the block is too long
    keys = ["customer_id", "from"]          as ENRICH_LOOKUP_KEYS: attribute[:kind[:trust]], in order
    own_numbers, claimed_channels           as ENRICH_OWN_NUMBERS and ENRICH_CLAIMED_CHANNELS
    [context.projections]                   other attributes that we write if the customer is certain

The settings apply where the table has no key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from enrich.policy.evaluation import Context
from enrich.policy.expressions import ExpressionError
from enrich.policy.problems import Problems
from enrich.policy.templates import Missing, Template, compile_template
from enrich.policy.vocabulary import Vocabulary, check_reference, did_you_mean

WHERE = "[context]"
PROJECTIONS = "[context.projections]"
_NAME = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
MAX_PATH_LENGTH = 4
MAX_PROJECTIONS = 30
# A projection is written only for a certain match, from our own data; the task's own attributes are not copied.
_PROJECTED_ROOTS = ("customer", "match")


@dataclass(frozen=True, slots=True)
class Projection:
    """An attribute outside our block that we write. path: the names that lead to it. template: its value."""

    path: tuple[str, ...]
    template: Template

    def value(self, context: Context) -> Any:
        """Return the projected value; None if a part of it is missing: the attribute is then removed."""
        try:
            return self.template.value(context)
        except Missing:
            return None


@dataclass(frozen=True, slots=True)
class ContextPolicy:
    """The `[context]` table. None: the key is not in it."""

    fields: tuple[str, ...] | None = None
    drop: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    own_numbers: tuple[str, ...] | None = None
    claimed_channels: tuple[str, ...] | None = None
    projections: tuple[Projection, ...] = ()


def parse_context(table: Any, vocabulary: Vocabulary, problems: Problems) -> ContextPolicy:
    if not isinstance(table, dict):
        problems.add(WHERE, "", "must be a table")
        return ContextPolicy()
    for key in table:
        if key not in _KEYS:
            problems.add(WHERE, key, f"there is no such key{did_you_mean(key, _KEYS)}")
    projections = _projections(table.get("projections", {}), vocabulary, problems)
    own = [vocabulary.attribute, *(".".join(projection.path) for projection in projections)]
    return ContextPolicy(
        fields=_words(table, "fields", problems, _member_of(vocabulary.block_fields)),
        drop=_words(table, "drop", problems, _member_of(vocabulary.droppable)),
        keys=_words(table, "keys", problems, lambda word: vocabulary.check_key(word, own), may_be_empty=False),
        own_numbers=_words(table, "own_numbers", problems, vocabulary.check_number),
        claimed_channels=_words(table, "claimed_channels", problems, lambda _: None),
        projections=projections,
    )


_KEYS = ("fields", "drop", "keys", "own_numbers", "claimed_channels", "projections")


def _words(
    table: Mapping[str, Any],
    key: str,
    problems: Problems,
    check: Callable[[str], object],
    *,
    may_be_empty: bool = True,
) -> tuple[str, ...] | None:
    """Return the texts of this list; None if the table has none, or a wrong one."""
    words = table.get(key)
    if words is None:
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        problems.add(WHERE, key, 'must be a list of texts, such as ["a", "b"]')
        return None
    if not words and not may_be_empty:
        problems.add(WHERE, key, "is empty; leave it out to use the settings")
        return None
    valid = []
    for word in words:
        try:
            check(word)
        except ValueError as exc:
            problems.add(WHERE, key, str(exc))
        else:
            valid.append(word)
    return tuple(dict.fromkeys(valid))


def _member_of(words: Collection[str]) -> Callable[[str], None]:
    def check(word: str) -> None:
        if word not in words:
            raise ValueError(f"{word!r} is not one of them{did_you_mean(word, words)}")

    return check


# --- projections


def _projections(table: Any, vocabulary: Vocabulary, problems: Problems) -> tuple[Projection, ...]:
    if not isinstance(table, dict):
        problems.add(PROJECTIONS, "", "must be a table of attributes")
        return ()
    projections: dict[tuple[str, ...], Projection] = {}
    for path, value in _flat(table):
        template = _projection(path, value, vocabulary, problems)
        clash = next((own for own in projections if _contains(own, path) or _contains(path, own)), None)
        if clash:
            problems.add(PROJECTIONS, ".".join(path), f"clashes with {'.'.join(clash)}: one would be inside the other")
        elif template:
            projections[path] = Projection(path, template)
    if len(projections) > MAX_PROJECTIONS:
        problems.add(PROJECTIONS, "", f"there are {len(projections)}; at most {MAX_PROJECTIONS} are written")
    return tuple(projections.values())


def _flat(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield paths and values: `customers.name = …` is a table in TOML, `"customers.name" = …` one key."""
    for key, value in table.items():
        full_path = path + tuple(key.split("."))
        if isinstance(value, dict) and len(full_path) <= MAX_PATH_LENGTH:
            yield from _flat(value, full_path)
        else:
            yield full_path, value


def _projection(path: tuple[str, ...], value: Any, vocabulary: Vocabulary, problems: Problems) -> Template | None:
    key = ".".join(path)
    if len(path) > MAX_PATH_LENGTH or not all(_NAME.fullmatch(name) for name in path):
        message = f"must be names of letters, digits, _ and $, joined by dots, at most {MAX_PATH_LENGTH} of them"
        problems.add(PROJECTIONS, key, message)
        return None
    if path[0] == vocabulary.attribute:
        problems.add(PROJECTIONS, key, f"{vocabulary.attribute} is our block's own; see [context] fields")
        return None
    if any(_contains(tuple(foreign.split(".")), path) for foreign in vocabulary.foreign):
        problems.add(PROJECTIONS, key, "belongs to TaskRouter or Flex, and is not ours to write")
        return None
    if not isinstance(value, str):
        problems.add(PROJECTIONS, key, 'must be a text such as "{customer.id}"')
        return None
    try:
        template = compile_template(value)
    except ExpressionError as exc:
        problems.add(PROJECTIONS, key, str(exc))
        return None
    for reference in template.references:
        if not check_reference(PROJECTIONS, key, reference, vocabulary, problems):
            return None
        if reference.path[0] not in _PROJECTED_ROOTS:
            problems.add(PROJECTIONS, key, f"{reference.text}: only customer.* and match.* are projected")
            return None
    return template


def _contains(outer: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return path[: len(outer)] == outer
