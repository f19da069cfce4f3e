"""TaskRouter's expression language, as in workflow filters: the parser, from a text to a condition.

Source: docs/taskrouter.md, "Expressions".

    task.channel == "voice" AND (customer.tier IN ["gold", "platinum"] OR worker.skills HAS task.skill)

A condition is parsed once, by a grammar, and becomes nested functions (evaluation.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from enrich.policy.evaluation import (
    OPERATORS,
    Comparison,
    Condition,
    Context,
    Junction,
    Node,
    Reference,
    Value,
    join,
    look_up,
    ordering,
)

if TYPE_CHECKING:
    from lark import Lark, Token

MAX_EXPRESSION_LENGTH = 4000
# Far deeper than any written expression, and far below Python's recursion limit.
MAX_DEPTH = 50

# `>-` and `<-` are HAS and IN, so `a < -1` needs its space. Keywords are not case-sensitive. A reference may begin with
# one, as `order` and `in_hours` do.
_GRAMMAR = r"""
    ?start: disjunction
    disjunction: conjunction (_OR conjunction)*
    conjunction: _single (_AND _single)*
    _single: comparison | group
    group: "(" disjunction ")"
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
    """The text is not an expression. The message has the position of the error and what was expected there."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One condition. holds: evaluates it. references: all that it contains, in the order of the text."""

    text: str
    holds: Condition
    references: tuple[Reference, ...]
    _root: Node

    def why(self, context: Context) -> str:
        """Return the comparisons that decided whether it holds, with the values of their references."""
        return "; ".join(self._root.why(context))


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Expression:
    """Return the condition of this text. Raises ExpressionError.

    Operators: == (also =) != < <= > >= CONTAINS for single values, HAS (>-), IN (<-) and NOT IN for lists, AND, OR and
    parentheses; AND binds more tightly. An operator for single values is false for a list, and one for lists is false
    without a list. Values of different types are never equal, and neither is greater.
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
    """Return the single reference that this text is. Raises ExpressionError."""
    try:
        (token,) = _parser().lex(text)
    except Exception as exc:
        # Any of lark's errors, or a number of tokens other than one.
        raise ExpressionError(f"{text!r} is no reference such as task.name or customer.cases[0].id") from exc
    if token.type != "REFERENCE":
        raise ExpressionError(f"{text!r} is no reference such as task.name or customer.cases[0].id")
    return _reference(str(token))


# --- text to tree


@cache
def _parser() -> Lark:
    # Built when a policy is first read: importing the library takes longer than a callback.
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=True, maybe_placeholders=False)


def _parse(text: str) -> Any:
    from lark.exceptions import UnexpectedInput

    try:
        return _parser().parse(text)
    except UnexpectedInput as exc:
        raise ExpressionError(_error_message(text, exc)) from None


def _error_message(text: str, exc: Any) -> str:
    token = getattr(exc, "token", None)
    position = len(text) if token is not None and token.type == "$END" else exc.pos_in_stream
    expected_tokens = set(
        getattr(exc, "accepts", None) or getattr(exc, "expected", None) or getattr(exc, "allowed", None) or ()
    )
    expected = " or ".join(words for words, names in _EXPECTED if names & expected_tokens) or "something else"
    if position >= len(text.rstrip()):
        return f"it ends at character {position + 1}, where {expected} is expected"
    excerpt = text[position : position + 20] + ("…" if len(text) > position + 20 else "")
    advice = _hint(text, position) or f"{expected} is expected"
    return f"not understood from character {position + 1} on, {excerpt!r}: {advice}"


_EXPECTED = (
    ("an operator (==, !=, <, <=, >, >=, CONTAINS, HAS, IN, NOT IN)", {"COMPARE", "HAS", "IN", "NOT_IN", "CONTAINS"}),
    ("a value (a reference such as task.name, a text in quotes, a number, true, false, null, a list)", {"REFERENCE"}),
    ("AND or OR", {"_AND", "_OR"}),
    ("a closing parenthesis", {"RPAR"}),
    ("a comma", {"COMMA"}),
)


def _hint(text: str, position: int) -> str:
    """Return a hint for operators that other languages have and this one has not."""
    remaining = text[position:].lower()
    before = text[position - 1 : position]
    if remaining.startswith("&&"):
        return "write AND"
    if remaining.startswith("||"):
        return "write OR"
    if remaining.startswith(("not", "!")) or text[:position].rstrip().lower().endswith("not"):
        return "there is no NOT before a condition; write !=, NOT IN, or == false"
    if remaining.startswith("-") and (before.isalnum() or before in ("_", "$")):
        return "names with a hyphen cannot be used in TaskRouter's expressions"
    if remaining.startswith(")"):
        return "there is no parenthesis to close" if "(" not in text[:position] else ""
    if remaining[:1] in ("'", '"'):
        return "the quotation mark is not closed"
    return ""


# --- tree to functions


@dataclass(frozen=True, slots=True)
class _Operand:
    """One side of a comparison."""

    value: Value
    references: tuple[Reference, ...] = ()
    is_list: bool = False
    is_literal: bool = True


class _Builder:
    """A builder of nodes from lark's tree of one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def build(self, tree: Any) -> Node:
        name = str(tree.data)
        if name == "comparison":
            return self._comparison(tree)
        if name == "group":
            return self.build(tree.children[0])
        parts = tuple(self.build(child) for child in tree.children)
        if len(parts) == 1:
            return parts[0]
        is_or = name == "disjunction"
        return Junction(is_or, parts, join([part.holds for part in parts], is_or=is_or))

    def _comparison(self, tree: Any) -> Comparison:
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
        if kind == "COMPARE":
            holds = ordering(sign, first.value, second.value)
        else:
            holds = OPERATORS[kind](first.value, second.value)
        return Comparison(text, holds, first.references + second.references)

    def _check_list(self, sign: Token, operand: _Operand, text: str) -> None:
        if operand.is_list or not operand.is_literal:
            return
        if sign in ("<-", ">-"):
            word = "IN" if sign == "<-" else "HAS"
            advice = f"{sign} means {word}; for a negative number write a space, as in `{sign[0]} -1`"
        else:
            advice = f"{sign} needs a list such as ['a', 'b'] on its {'left' if sign.type == 'HAS' else 'right'}"
        raise ExpressionError(f"at character {(sign.start_pos or 0) + 1}, {text!r}: {advice}")


def _operand(part: Any) -> _Operand:
    # A list is a subtree of its items; everything else is a token.
    if not hasattr(part, "type"):
        items = [_operand(child) for child in part.children]
        values = [item.value for item in items]
        references = tuple(reference for item in items for reference in item.references)
        if references:
            return _Operand(lambda context: [value(context) for value in values], references, is_list=True)
        constant = [value({}) for value in values]
        return _Operand(lambda _: constant, is_list=True)
    if part.type == "REFERENCE":
        reference = _reference(str(part))
        return _Operand(look_up(reference), (reference,), is_literal=False)
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
