"""TaskRouter's expression language, the one of workflow filters: text in, a condition out.

Source: docs/taskrouter.md, "Expressions".

    task.channel == "voice" AND (customer.tier IN ["gold", "platinum"] OR worker.skills HAS task.skill)

A condition is parsed once, by a grammar, and becomes nested functions; to ask it costs about a microsecond. Whatever
the context holds, asking raises nothing: what is not there is NULL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark, Token

# What a condition is asked about: `task`, `worker` and so on to JSON objects as `dict`, lists as `list`.
Context = dict[str, Any]
_Holds = Callable[[Context], bool]
_Value = Callable[[Context], Any]

MAX_EXPRESSION_LENGTH = 4000
# Far deeper than anybody writes, and far from where Python itself gives up.
MAX_DEPTH = 50

# `>-` and `<-` are HAS and IN, so that `a < -1` needs its space. Keywords are known in any case; a reference may still
# begin with one, as `order` and `in_hours` do.
_GRAMMAR = r"""
    ?start: either
    either: both (_OR both)*
    both: _single (_AND _single)*
    _single: comparison | group
    group: "(" either ")"
    comparison: _value _operator _value
    _operator: COMPARE | CONTAINS | HAS | NOT_IN | IN
    _value: STRING | NUMBER | TRUE | FALSE | NULL | REFERENCE | list
    list: "[" [_value ("," _value)*] "]"

    STRING: /"[^"]*"|'[^']*'/
    NUMBER: /-?\d+(\.\d+)?(?![\w$.])/
    COMPARE: />=|<=|==|!=|=|>(?!-)|<(?!-)/
    CONTAINS.3: /CONTAINS(?![\w$.])/i
    HAS.3: />-|HAS(?![\w$.])/i
    NOT_IN.4: /NOT\s+IN(?![\w$.])/i
    IN.3: /<-|IN(?![\w$.])/i
    _AND.3: /AND(?![\w$.])/i
    _OR.3: /OR(?![\w$.])/i
    TRUE.3: /TRUE(?![\w$.])/i
    FALSE.3: /FALSE(?![\w$.])/i
    NULL.3: /NULL(?![\w$.])/i
    REFERENCE: /(?:[^\W\d]|\$)[\w$]*(?:\.(?:[^\W\d]|\$)[\w$]*|\[\d+\])*/
    %ignore /\s+/
"""


class ExpressionError(ValueError):
    """The text is no expression. The message names the place of the error, and what was expected there."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A way into the context: `task.routing.skills[0]` is ("task", "routing", "skills", 0)."""

    text: str
    path: tuple[str | int, ...]

    def value(self, context: Context) -> Any:
        """Return the value at this path; None, which is NULL, if there is none."""
        value: Any = context
        for step in self.path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value


@dataclass(frozen=True, slots=True)
class Expression:
    """One condition. `holds` asks it; `references` are all that it mentions, in the order of the text."""

    text: str
    holds: _Holds
    references: tuple[Reference, ...]
    _root: _Node

    def why(self, context: Context) -> str:
        """Return the comparisons that decided whether it holds, with the values they found."""
        return "; ".join(self._root.why(context))


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Expression:
    """The condition that this text is. Raises ExpressionError.

    Operators: == (also =) != < <= > >= CONTAINS for single values, HAS (>-), IN (<-) and NOT IN for lists, AND, OR and
    parentheses; AND binds more tightly. An operator for single values is false for a list, one for lists is false
    where there is none. Values of different types are never equal, and neither is greater.
    """
    if not text.strip():
        raise ExpressionError("it is empty; without a condition, leave the key out")
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise ExpressionError(f"it has {len(text)} characters; at most {MAX_EXPRESSION_LENGTH} are read")
    try:
        root = _Builder(text).build(_parse(text))
        is_too_deep = root.depth > MAX_DEPTH
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        raise ExpressionError(f"its parentheses are nested more than {MAX_DEPTH} deep")
    return Expression(text, root.holds, tuple(dict.fromkeys(root.references)), root)


def compile_reference(text: str) -> Reference:
    """A single reference, as expressions have them. Raises ExpressionError."""
    try:
        (token,) = _parser().lex(text)
    except Exception as exc:  # lark's, whichever; or another number of tokens than one
        raise ExpressionError(f"{text!r} is no reference such as task.name or customer.cases[0].id") from exc
    if token.type != "REFERENCE":
        raise ExpressionError(f"{text!r} is no reference such as task.name or customer.cases[0].id")
    return _reference(str(token))


# --- text -> tree


@cache
def _parser() -> Lark:
    # Built when a policy is first read: the library takes longer to import than a callback takes.
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=True, maybe_placeholders=False)


def _parse(text: str) -> Any:
    from lark.exceptions import UnexpectedInput

    try:
        return _parser().parse(text)
    except UnexpectedInput as exc:
        raise ExpressionError(_what_is_wrong(text, exc)) from None


def _what_is_wrong(text: str, exc: Any) -> str:
    token = getattr(exc, "token", None)
    at = len(text) if token is not None and token.type == "$END" else exc.pos_in_stream
    expected = set(
        getattr(exc, "accepts", None) or getattr(exc, "expected", None) or getattr(exc, "allowed", None) or ()
    )
    wanted = " or ".join(words for words, names in _EXPECTED if names & expected) or "something else"
    if at >= len(text.rstrip()):
        return f"it ends at character {at + 1}, where {wanted} is expected"
    rest = text[at : at + 20] + ("…" if len(text) > at + 20 else "")
    return f"not understood from character {at + 1} on, {rest!r}: {_hint(text, at) or wanted + ' is expected'}"


_EXPECTED = (
    ("an operator (==, !=, <, <=, >, >=, CONTAINS, HAS, IN, NOT IN)", {"COMPARE", "HAS", "IN", "NOT_IN", "CONTAINS"}),
    ("a value (a reference such as task.name, a text in quotes, a number, true, false, null, a list)", {"REFERENCE"}),
    ("AND or OR", {"_AND", "_OR"}),
    ("a closing parenthesis", {"RPAR"}),
    ("a comma", {"COMMA"}),
)


def _hint(text: str, at: int) -> str:
    """Return a hint for operators that other languages have and this one has not."""
    rest = text[at:].lower()
    before = text[at - 1 : at]
    if rest.startswith("&&"):
        return "write AND"
    if rest.startswith("||"):
        return "write OR"
    if rest.startswith(("not", "!")) or text[:at].rstrip().lower().endswith("not"):
        return "there is no NOT before a condition; write !=, NOT IN, or == false"
    if rest.startswith("-") and (before.isalnum() or before in ("_", "$")):
        return "names with a hyphen cannot be used in TaskRouter's expressions"
    if rest.startswith(")"):
        return "there is no parenthesis to close" if "(" not in text[:at] else ""
    if rest[:1] in ("'", '"'):
        return "the quotation mark is not closed"
    return ""


# --- tree -> functions


@dataclass(frozen=True, slots=True)
class _Operand:
    value: _Value
    references: tuple[Reference, ...] = ()
    is_list: bool = False
    is_literal: bool = True


@dataclass(frozen=True, slots=True)
class _Comparison:
    text: str
    holds: _Holds
    references: tuple[Reference, ...]

    depth = 0

    def why(self, context: Context) -> Iterator[str]:
        seen = ", ".join(f"{each.text} is {shown(each.value(context))}" for each in dict.fromkeys(self.references))
        yield f"{self.text} is {'true' if self.holds(context) else 'false'}" + (f" ({seen})" if seen else "")


@dataclass(frozen=True, slots=True)
class _Joined:
    """Parts joined by one of the two words."""

    is_or: bool
    parts: tuple[_Node, ...]
    holds: _Holds

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(reference for part in self.parts for reference in part.references)

    @property
    def depth(self) -> int:
        return 1 + max(part.depth for part in self.parts)

    def why(self, context: Context) -> Iterator[str]:
        """Of an AND that is false, or an OR that is true, the first part that made it so; else all of them."""
        held = self.holds(context)
        if held is self.is_or:
            yield from next(part for part in self.parts if part.holds(context) is held).why(context)
        else:
            for part in self.parts:
                yield from part.why(context)


_Node = _Comparison | _Joined


def shown(value: Any) -> str:
    """A value as an expression would write it, shortened where it is long."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


class _Builder:
    """Turns lark's tree of one text into nodes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def build(self, tree: Any) -> _Node:
        name = str(tree.data)
        if name == "comparison":
            return self._comparison(tree)
        if name == "group":
            return self.build(tree.children[0])
        parts = tuple(self.build(child) for child in tree.children)
        if len(parts) == 1:
            return parts[0]
        is_or = name == "either"
        return _Joined(is_or, parts, _joined(is_or, [part.holds for part in parts]))

    def _comparison(self, tree: Any) -> _Comparison:
        text = " ".join(self._text[tree.meta.start_pos : tree.meta.end_pos].split())
        left, sign, right = tree.children
        first, second = _operand(left), _operand(right)
        kind = sign.type
        if kind in ("HAS", "IN", "NOT_IN"):
            self._check_list(sign, first if kind == "HAS" else second, text)
        elif first.is_list or second.is_list:
            raise ExpressionError(
                f"at character {sign.start_pos + 1}, {text!r}: {sign} compares single values; for lists write IN or HAS"
            )
        holds = _COMPARED[kind](first.value, second.value) if kind != "COMPARE" else _ordered(sign, first, second)
        return _Comparison(text, holds, first.references + second.references)

    def _check_list(self, sign: Token, where: _Operand, text: str) -> None:
        if where.is_list or not where.is_literal:
            return
        if sign in ("<-", ">-"):
            word = "IN" if sign == "<-" else "HAS"
            advice = f"{sign} means {word}; for a negative number write a space, as in `{sign[0]} -1`"
        else:
            advice = f"{sign} needs a list such as ['a', 'b'] on its {'left' if sign.type == 'HAS' else 'right'}"
        raise ExpressionError(f"at character {(sign.start_pos or 0) + 1}, {text!r}: {advice}")


def _operand(part: Any) -> _Operand:
    if not hasattr(part, "type"):  # a list, with its items
        items = [_operand(child) for child in part.children]
        values = [item.value for item in items]
        references = tuple(reference for item in items for reference in item.references)
        if references:
            return _Operand(lambda context: [value(context) for value in values], references, is_list=True)
        constant = [value({}) for value in values]
        return _Operand(lambda _: constant, is_list=True)
    if part.type == "REFERENCE":
        reference = _reference(str(part))
        return _Operand(_look_up(reference), (reference,), is_literal=False)
    literal = _LITERALS[part.type](str(part))
    return _Operand(lambda _: literal)


_LITERALS: dict[str, Callable[[str], Any]] = {
    "STRING": lambda text: text[1:-1],
    "NUMBER": lambda text: float(text) if "." in text else int(text),
    "TRUE": lambda _: True,
    "FALSE": lambda _: False,
    "NULL": lambda _: None,
}


def _reference(text: str) -> Reference:
    names = text.replace("[", ".[").split(".")
    return Reference(text, tuple(int(name[1:-1]) if name.startswith("[") else name for name in names))


def _look_up(reference: Reference) -> _Value:
    """`task.name`, by far the most frequent, without a loop."""
    path = reference.path
    if len(path) != 2 or isinstance(path[1], int):
        return reference.value
    first, second = str(path[0]), path[1]

    def value(context: Context) -> Any:
        whole = context.get(first)
        return whole.get(second) if isinstance(whole, dict) else None

    return value


def _joined(is_or: bool, parts: list[_Holds]) -> _Holds:
    if len(parts) == 2:
        first, second = parts
        if is_or:
            return lambda context: first(context) or second(context)
        return lambda context: first(context) and second(context)
    if is_or:
        return lambda context: any(part(context) for part in parts)
    return lambda context: all(part(context) for part in parts)


def _ordered(sign: str, left: _Operand, right: _Operand) -> _Holds:
    first, second = left.value, right.value
    if sign in ("==", "="):
        return lambda context: _equal(first(context), second(context))
    if sign == "!=":
        return lambda context: _different(first(context), second(context))
    compare = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}[sign]

    def holds(context: Context) -> bool:
        one, other = first(context), second(context)
        kind = _KINDS.get(type(one))
        return kind is not None and kind in _ORDERED and _KINDS.get(type(other)) is kind and bool(compare(one, other))

    return holds


# The types of single values; a list or an object is none. Numbers are one type, and a truth value is no number.
_KINDS: dict[type, type] = {str: str, int: float, float: float, bool: bool, type(None): type(None)}
_ORDERED = (str, float)


def _equal(left: Any, right: Any) -> bool:
    kind = _KINDS.get(type(left))
    return kind is not None and _KINDS.get(type(right)) is kind and bool(left == right)


def _different(left: Any, right: Any) -> bool:
    """Between single values only; of different types they are."""
    one, other = _KINDS.get(type(left)), _KINDS.get(type(right))
    return one is not None and other is not None and (one is not other or bool(left != right))


def _has(left: _Value, right: _Value) -> _Holds:
    def holds(context: Context) -> bool:
        items = left(context)
        return isinstance(items, list) and _is_among(right(context), items)

    return holds


def _in(left: _Value, right: _Value) -> _Holds:
    return _has(right, left)


def _not_in(left: _Value, right: _Value) -> _Holds:
    def holds(context: Context) -> bool:
        items, wanted = right(context), left(context)
        return isinstance(items, list) and type(wanted) in _KINDS and not _is_among(wanted, items)

    return holds


def _contains(left: _Value, right: _Value) -> _Holds:
    def holds(context: Context) -> bool:
        text, part = left(context), right(context)
        return isinstance(text, str) and isinstance(part, str) and part in text

    return holds


def _is_among(wanted: Any, items: Iterable[Any]) -> bool:
    return any(_equal(item, wanted) for item in items)


_COMPARED: dict[str, Callable[[_Value, _Value], _Holds]] = {
    "HAS": _has,
    "IN": _in,
    "NOT_IN": _not_in,
    "CONTAINS": _contains,
}
